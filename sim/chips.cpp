// 64 copies of a chip side by side, each seen from its pins: see chip.cpp.
//
// Arguments: clock cycles per bit of the line; clock cycles of silence after which listening ends;
// clock cycles from power-on to the first message.
//
// Messages on standard input, each 4 bytes with its length, the low byte first, and its bytes.
// Message k goes to chip k % 64, when that has answered the one before it: when it has said a whole
// frame, or nothing for a while. A chip that says more than any frame has gets no further message.
// What the chips say comes back in the same form, by messages.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

// Generated: `word`, of which each bit is another chip's, and `step`, which takes a clock cycle with
// the pins rx, and returns the pins tx of before.
#include "logic.h"

using Bytes = std::vector<uint8_t>;

static constexpr int N_CHIPS = 64;
static constexpr uint8_t FLAG = 0x7e;
// Bytes of an answer: twice the frame, escapes included, of a bit for each flip-flop of an HX8K.
static constexpr size_t MOST = 4096;

static bool read_message(Bytes& bytes) {
    uint8_t size[4];
    if (std::fread(size, 1, 4, stdin) != 4) return false;
    bytes.resize(size[0] | size[1] << 8 | size[2] << 16 | uint32_t(size[3]) << 24);
    return std::fread(bytes.data(), 1, bytes.size(), stdin) == bytes.size();
}

static void write_message(const Bytes& bytes) {
    for (int shift = 0; shift < 32; shift += 8) std::putchar(bytes.size() >> shift & 0xff);
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

class Chips {
  public:
    Chips(const std::vector<Bytes>& messages, uint64_t bit_cycles, uint64_t silence_cycles)
        : messages(messages), answers(messages.size()), bit_cycles(bit_cycles),
          silence_cycles(silence_cycles) {
        for (int n = 0; n < N_CHIPS; n++) lines[n].message = n;
    }

    void idle(uint64_t cycles) {
        for (; cycles > 0; cycles--) cycle();
    }

    // Bits are brought to all chips at the same time.
    void converse() {
        while (bring()) idle(bit_cycles);
    }

    const std::vector<Bytes>& messages;
    std::vector<Bytes> answers;

  private:
    struct Line {
        size_t message, n_brought = 0;  // bits of the message
        uint64_t quiet_since = 0;       // the cycle
        uint64_t timer = 0;
        uint32_t n_heard = 0, heard = 0;  // bits of a byte
    };

    // Returns whether any chip still has something to hear or to say.
    bool bring() {
        bool lasts = false;
        rx = ~word(0);
        for (int n = 0; n < N_CHIPS; n++) {
            Line& line = lines[n];
            if (line.message < messages.size() && answered(line)) {
                line.message += N_CHIPS;
                line.n_brought = 0;
            }
            // A chip that babbles would be heard for ever.
            if (line.message < messages.size() && answers[line.message].size() == MOST)
                line.message = messages.size();
            if (line.message >= messages.size()) continue;
            lasts = true;
            const Bytes& bytes = messages[line.message];
            if (line.n_brought == 10 * bytes.size()) continue;
            const uint32_t bits = 1 << 9 | bytes[line.n_brought / 10] << 1;
            if (!(bits >> line.n_brought++ % 10 & 1)) rx &= ~(word(1) << n);
            line.quiet_since = now + bit_cycles;
        }
        return lasts;
    }

    // A frame has a flag at its beginning, and one at its end.
    bool answered(const Line& line) const {
        if (line.n_brought < 10 * messages[line.message].size()) return false;
        const Bytes& said = answers[line.message];
        if (said.size() > 1 && said.back() == FLAG) return true;
        return now > line.quiet_since && now - line.quiet_since >= silence_cycles;
    }

    void cycle() {
        hear(step(rx));
        now++;
    }

    // Takes each bit in its middle, counted from where the start bit fell.
    void hear(word tx) {
        for (word rest = hearing; rest; rest &= rest - 1) {
            const int n = __builtin_ctzll(rest);
            Line& line = lines[n];
            if (--line.timer) continue;
            line.timer = bit_cycles;
            line.heard = line.heard >> 1 | uint32_t(tx >> n & 1) << 9;
            if (line.n_heard++ < 10) continue;
            hearing &= ~(word(1) << n);
            line.n_heard = 0;
            if (line.heard >> 9 && !(line.heard & 1) && line.message < messages.size()) {
                Bytes& said = answers[line.message];
                if (said.size() < MOST) said.push_back(line.heard >> 1 & 0xff);
                line.quiet_since = now;
            }
        }
        // As in chip.cpp, a byte may begin in the cycle behind the one in which another ended.
        for (word fallen = was & ~tx & ~hearing; fallen; fallen &= fallen - 1) {
            const int n = __builtin_ctzll(fallen);
            hearing |= word(1) << n;
            lines[n].n_heard = 1;
            lines[n].timer = bit_cycles / 2;
        }
        was = tx;
    }

    std::array<Line, N_CHIPS> lines;
    uint64_t bit_cycles, silence_cycles, now = 0;
    word rx = ~word(0), was = 0, hearing = 0;
};

int main(int, char** arguments) {
    std::vector<Bytes> messages;
    for (Bytes bytes; read_message(bytes);) messages.push_back(bytes);
    const auto number = [&](int n) { return std::strtoull(arguments[n], nullptr, 10); };
    Chips chips(messages, number(1), number(2));
    chips.idle(number(3));
    chips.converse();
    for (const Bytes& answer : chips.answers) write_message(answer);
}
