// A board without a board: the design's streams of bytes, driven from standard input and output.
//
// Argument: clock cycles per byte, in each direction, as if a serial line were between.
// Commands on standard input, numbers in 4 bytes, the low byte first:
//   w, count, bytes: brings the bytes to the design, and answers nothing;
//   r, count, cycles: answers a count and so many bytes, as many as asked for, or those that came
//   before the design said nothing for so many cycles.
// The design has a stream i that is always ready, and a stream o. (`___05F` is what Verilator makes
// of `__`.)

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

static bool read_number(uint32_t& number) {
    uint8_t bytes[4];
    if (std::fread(bytes, 1, 4, stdin) != 4) return false;
    number = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | uint32_t(bytes[3]) << 24;
    return true;
}

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
    for (int command; (command = std::getchar()) != EOF;) {
        uint32_t count, limit;
        if (!read_number(count)) return 1;
        if (command == 'w') {
            std::vector<uint8_t> bytes(count);
            if (std::fread(bytes.data(), 1, count, stdin) != count) return 1;
            for (uint8_t byte : bytes) board.bring(byte);
            continue;
        }
        if (!read_number(limit)) return 1;
        size_t known = board.said.size();
        for (uint32_t silence = 0; board.said.size() < count && silence < limit; silence++) {
            board.step();
            if (board.said.size() > known) {
                known = board.said.size();
                silence = 0;
            }
        }
        uint32_t found = board.said.size() < count ? board.said.size() : count;
        for (int shift = 0; shift < 32; shift += 8) std::putchar(found >> shift & 0xff);
        for (uint32_t n = 0; n < found; n++) {
            std::putchar(board.said.front());
            board.said.pop_front();
        }
        std::fflush(stdout);
    }
}
