// A chip seen from its pins: its clock, and the two lines of its serial port, driven bit by bit.
//
// Arguments: clock cycles per bit of the line; clock cycles from power-on to the first command.
// serve.h has the commands. A byte is a start bit 0, eight bits, the least first, and a stop bit 1.

#include <cstdint>
#include <cstdlib>
#include <deque>

#include "Vtop.h"
#include "serve.h"
#include "verilated.h"

// The chip sets its flip-flops to 0 when it has read its bitstream, and its block RAMs to what that
// says: models of cells have it in `initial`, which comes later and stays. What has no `initial`,
// such as what a RAM's output is before it was read, nothing sets: it is one thing or the other.
// Vtop's constructor fills it, so that this comes first.
static VerilatedContext* random_at_power_on(VerilatedContext& context) {
    context.randReset(2);
    context.randSeed(1);
    return &context;
}

class Chip {
  public:
    explicit Chip(uint32_t bit_cycles) : bit_cycles(bit_cycles) {
        dut.clk = 0;
        dut.rx = 1;
        dut.eval();
    }

    void bring(uint8_t byte) {
        uint32_t bits = 1 << 9 | byte << 1;
        for (int n = 0; n < 10; n++, bits >>= 1) {
            dut.rx = bits & 1;
            for (uint32_t cycle = 0; cycle < bit_cycles; cycle++) step();
        }
    }

    void step() {
        dut.clk = 1;
        dut.eval();
        dut.clk = 0;
        dut.eval();
        hear(dut.tx);
    }

    std::deque<uint8_t> said;

  private:
    // Takes each bit in its middle, counted from where the start bit fell.
    void hear(bool line) {
        if (!n_heard && fallen(line)) {
            n_heard = 1;
            timer = bit_cycles / 2;
        } else if (n_heard && !--timer) {
            timer = bit_cycles;
            heard = heard >> 1 | uint32_t(line) << 9;
            if (n_heard++ == 10) {
                if (line && !(heard & 1)) said.push_back(heard >> 1 & 0xff);
                n_heard = 0;
            }
        }
        was_high = line;
    }

    bool fallen(bool line) const { return was_high && !line; }

    VerilatedContext context;
    Vtop dut{random_at_power_on(context)};
    uint32_t bit_cycles, timer = 0, n_heard = 0, heard = 0;
    bool was_high = false;
};

int main(int, char** arguments) {
    Chip chip(std::strtoul(arguments[1], nullptr, 10));
    for (long left = std::strtol(arguments[2], nullptr, 10); left > 0; left--) chip.step();
    // What was said meanwhile is kept: a host hears it too.
    return serve(chip);
}
