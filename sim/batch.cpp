// Drives the streams of a design at the speed of the simulator: words from a file, answers into one.
//
// Arguments: words for load, words for i, answers expected, answers file, cycles without a transfer
// after which it ends, seed of random stalls (0: none).
// Words lie one behind the other, each in as many bytes as Verilator's type of the payload.
// The answers file holds for each answer the cycle of its transfer, 8 bytes, and its payload; then
// how many cycles i and o spent in each of their 16 states, which are numbered by the bits i valid,
// i ready, o valid and o ready, the last one the least significant; then for each word of i the
// cycle of its transfer. (`___05F` is what Verilator makes of `__`.)
// Exit codes: 0 all answers came and no more; 3 too few came, or words were not taken; 4 an answer
// on offer changed; 5 the answers file cannot be written; 6 an answer too many came. But for 0 and
// 5, how many words of load and of i were taken, and how many answers came, is printed.
//
// INPUT_WIDTH, and LOAD_WIDTH where there is such a port, are bits; HAS_CLOCK is defined where
// anything is held.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

using Bytes = std::vector<char>;

static Bytes read_file(const char* name) {
    std::ifstream file(name, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Pauses and their ends, in bursts: half of them short ones.
class Stalls {
  public:
    explicit Stalls(uint64_t seed) : state(seed) {}
    bool next() {
        if (!state) return false;
        if (!left) {
            pausing = !pausing;
            left = 1 + draw() % (draw() % 2 ? 3 : 20);
        }
        left--;
        return pausing;
    }

  private:
    uint64_t draw() {  // xorshift64: G. Marsaglia, 2003
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state >> 8;
    }
    uint64_t state;
    uint64_t left = 0;
    bool pausing = true;
};

template <typename Payload>
static void put(Payload& payload, const Bytes& words, size_t number) {
    std::memcpy(&payload, words.data() + number * sizeof(Payload), sizeof(Payload));
}

// Nobody may look at a payload that is not offered: so it is as wrong as can be.
template <size_t width, typename Payload>
static void spoil(Payload& payload) {
    char* bytes = reinterpret_cast<char*>(&payload);
    for (size_t bit = 0; bit < width; bit++) bytes[bit / 8] ^= 1 << bit % 8;
}

int main(int argc, char** argv) {
    if (argc != 7) return 2;
    VerilatedContext context;
    Vtop dut(&context);
    [[maybe_unused]] const Bytes loads = read_file(argv[1]);
    const Bytes inputs = read_file(argv[2]);
    const size_t n_answers = std::strtoull(argv[3], nullptr, 10);
    std::ofstream answers(argv[4], std::ios::binary);
    const uint64_t limit = std::strtoull(argv[5], nullptr, 10);
    const uint64_t seed = std::strtoull(argv[6], nullptr, 10);
    [[maybe_unused]] Stalls load_stalls(seed ? seed + 1 : 0);
    Stalls input_stalls(seed ? seed + 2 : 0), answer_stalls(seed ? seed + 3 : 0);

    size_t n_loaded = 0, n_answered = 0;
    uint64_t state_cycles[16] = {};
    std::vector<uint64_t> input_cycles;
    auto ended = [&](int code) {
        if (code) std::printf("%zu %zu %zu", n_loaded, input_cycles.size(), n_answered);
        return code;
    };
    auto clock = [&] {
#ifdef HAS_CLOCK
        dut.clk = 1;
        dut.eval();
        dut.clk = 0;
#endif
        dut.eval();
    };
    dut.i___05Fvalid = 0;
    dut.o___05Fready = 0;
#ifdef HAS_CLOCK
    dut.clk = 0;
    dut.rst = 1;
#endif
#ifdef LOAD_WIDTH
    dut.run = 0;
    dut.load___05Fvalid = 0;
#endif
    dut.eval();
    clock();
#ifdef HAS_CLOCK
    dut.rst = 0;
#endif

    uint64_t cycle = 0, last_transfer = 0;
#ifdef LOAD_WIDTH
    const size_t n_loads = loads.size() / sizeof(dut.load___05Fpayload);
    bool loading = false;
    while (n_loaded < n_loads) {
        if (!loading) loading = !load_stalls.next();
        dut.load___05Fvalid = loading;
        if (loading) put(dut.load___05Fpayload, loads, n_loaded);
        else spoil<LOAD_WIDTH>(dut.load___05Fpayload);
        dut.eval();
        if (loading && dut.load___05Fready) {
            loading = false;
            n_loaded++;
            last_transfer = cycle;
        }
        clock();
        if (++cycle - last_transfer > limit) return ended(3);
    }
    dut.load___05Fvalid = 0;
    dut.run = 1;
#endif

    const size_t n_inputs = inputs.size() / sizeof(dut.i___05Fpayload);
    input_cycles.reserve(n_inputs);
    bool offered = false, held = false;
    auto kept = dut.o___05Fpayload;
    // To the end of the silence behind the last transfer: so an answer too many is seen.
    while (cycle - last_transfer <= limit) {
        if (!offered && input_cycles.size() < n_inputs) offered = !input_stalls.next();
        dut.i___05Fvalid = offered;
        if (offered) put(dut.i___05Fpayload, inputs, input_cycles.size());
        else spoil<INPUT_WIDTH>(dut.i___05Fpayload);
        dut.o___05Fready = !answer_stalls.next();
        dut.eval();
        state_cycles[offered << 3 | dut.i___05Fready << 2 | dut.o___05Fvalid << 1 |
                     dut.o___05Fready]++;
        // What is on offer must stay as it is until it is taken.
        if (held && (!dut.o___05Fvalid || std::memcmp(&kept, &dut.o___05Fpayload, sizeof(kept)))) {
            return ended(4);
        }
        held = dut.o___05Fvalid && !dut.o___05Fready;
        std::memcpy(&kept, &dut.o___05Fpayload, sizeof(kept));
        if (dut.o___05Fvalid && dut.o___05Fready) {
            if (n_answered == n_answers) return ended(6);
            answers.write(reinterpret_cast<const char*>(&cycle), sizeof(cycle));
            answers.write(reinterpret_cast<const char*>(&kept), sizeof(kept));
            n_answered++;
            last_transfer = cycle;
        }
        if (offered && dut.i___05Fready) {
            input_cycles.push_back(cycle);
            offered = false;
            last_transfer = cycle;
        }
        clock();
        cycle++;
    }
    if (n_answered < n_answers || input_cycles.size() < n_inputs) return ended(3);
    answers.write(reinterpret_cast<const char*>(state_cycles), sizeof(state_cycles));
    answers.write(reinterpret_cast<const char*>(input_cycles.data()),
                  sizeof(uint64_t) * input_cycles.size());
    answers.flush();
    return answers.good() ? 0 : 5;
}
