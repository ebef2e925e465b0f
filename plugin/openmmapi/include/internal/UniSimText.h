#ifndef OPENMM_UNISIMTEXT_H_
#define OPENMM_UNISIMTEXT_H_

#include <string>

namespace UniSimPlugin {

/**
 * Get how many bytes of a text, from a position on, are one character of UTF-8; 0 if they are none.
 */
inline size_t measureCharacter(const std::string& text, size_t start) {
    const auto byteAt = [&](size_t i) { return i < text.size() ? (unsigned char)text[i] : 0u; };
    const unsigned first = byteAt(start), second = byteAt(start + 1);
    if (first < 0x80)
        return 1;
    const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                          : first >= 0xe0 && first < 0xf0 ? 3
                          : first >= 0xf0 && first < 0xf5 ? 4
                                                          : 0;
    for (size_t i = 1; i < length; i++)
        if ((byteAt(start + i) & 0xc0u) != 0x80u)
            return 0;
    const bool allowed = (first != 0xe0 || second >= 0xa0) && (first != 0xed || second < 0xa0) &&
                         (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second < 0x90);
    return allowed ? length : 0;
}

/**
 * Get a text with a question mark for each byte that is no UTF-8: part of a message, it comes from a file.
 * Python can't make an exception of other bytes.
 */
inline std::string toUtf8(const std::string& text) {
    std::string result;
    for (size_t i = 0; i < text.size();) {
        const size_t length = measureCharacter(text, i);
        result += length == 0 ? "?" : text.substr(i, length);
        i += length == 0 ? 1 : length;
    }
    return result;
}

} // namespace UniSimPlugin

#endif // OPENMM_UNISIMTEXT_H_
