// A board without a board: the design's streams of bytes, driven from standard input and output.
//
// Argument: clock cycles per byte, in each direction, as if a serial line were between. serve.h has
// the commands. The design has a stream i that is always ready, and a stream o. (`___05F` is what
// Verilator makes of `__`.)

#include <cstdint>
#include <cstdlib>
#include <deque>

#include "Vtop.h"
#include "serve.h"
#include "verilated.h"

class Board {
  public:
    explicit Board(uint32_t byte_cycles) : dut(&context), byte_cycles(byte_cycles) {
        dut.clk = 0;
        dut.rst = 1;
        dut.i___05Fvalid = 0;
        dut.o___05Fready = 0;
        dut.eval();
        edge();
        dut.rst = 0;
    }

    void bring(uint8_t byte) {
        for (uint32_t cycle = 1; cycle < byte_cycles; cycle++) step();
        dut.i___05Fvalid = 1;
        dut.i___05Fpayload = byte;
        step();
        dut.i___05Fvalid = 0;
    }

    void step() {
        bool take = ++since_taken >= byte_cycles;
        dut.o___05Fready = take;
        dut.eval();
        if (take && dut.o___05Fvalid) {
            said.push_back(dut.o___05Fpayload);
            since_taken = 0;
        }
        edge();
    }

    std::deque<uint8_t> said;

  private:
    void edge() {
        dut.clk = 1;
        dut.eval();
        dut.clk = 0;
        dut.eval();
    }

    VerilatedContext context;
    Vtop dut;
    uint32_t byte_cycles, since_taken = 0;
};

int main(int, char** arguments) {
    Board board(std::strtoul(arguments[1], nullptr, 10));
    return serve(board);
}
