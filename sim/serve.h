// What the main programs of virtual boards have in common: bytes brought and heard by commands.
//
// Commands on standard input, numbers in 4 bytes, the low byte first:
//   w, count, bytes: brings the bytes to the board, and answers their count when that is done;
//   r, count, cycles: answers a count and so many bytes, as many as asked for, or those that came
//   before the board said nothing for so many cycles.

#include <cstdint>
#include <cstdio>
#include <vector>

static bool read_number(uint32_t& number) {
    uint8_t bytes[4];
    if (std::fread(bytes, 1, 4, stdin) != 4) return false;
    number = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | uint32_t(bytes[3]) << 24;
    return true;
}

static void write_number(uint32_t number) {
    for (int shift = 0; shift < 32; shift += 8) std::putchar(number >> shift & 0xff);
}

// A board has bring(byte), step() for a clock cycle, and said, a deque of the bytes that it said.
template <typename Board>
int serve(Board& board) {
    for (int command; (command = std::getchar()) != EOF;) {
        uint32_t count, limit;
        if (!read_number(count)) return 1;
        if (command == 'w') {
            std::vector<uint8_t> bytes(count);
            if (std::fread(bytes.data(), 1, count, stdin) != count) return 1;
            for (uint8_t byte : bytes) board.bring(byte);
            write_number(count);
            std::fflush(stdout);
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
        const uint32_t found = board.said.size() < count ? board.said.size() : count;
        write_number(found);
        for (uint32_t n = 0; n < found; n++) {
            std::putchar(board.said.front());
            board.said.pop_front();
        }
        std::fflush(stdout);
    }
    return 0;
}
