// The zip format: APPNOTE.TXT of PKWARE, sections 4.3.7 to 4.3.16 and 4.5.3.

#include "internal/UniSimArchive.h"
#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <stdexcept>

using namespace std;

namespace UniSimPlugin {

namespace {

const uint32_t LOCAL_HEADER = 0x04034b50, ENTRY = 0x02014b50, END = 0x06054b50, END64 = 0x06064b50,
               LOCATOR64 = 0x07064b50, ELSEWHERE = 0xffffffff;
const size_t LOCAL_SIZE = 30, ENTRY_SIZE = 46, END_SIZE = 22, END64_SIZE = 56, LOCATOR_SIZE = 20,
             LONGEST_COMMENT = 65535;
const uint16_t STORED = 0, EXTRA64 = 1;

uint32_t computeCrc32(const char* data, size_t size) {
    static const array<uint32_t, 256> TABLE = [] {
        array<uint32_t, 256> table;
        for (uint32_t i = 0; i < 256; i++) {
            table[i] = i;
            for (int bit = 0; bit < 8; bit++)
                table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0u);
        }
        return table;
    }();
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ TABLE[(crc ^ (unsigned char)data[i]) & 0xff];
    return ~crc;
}

/** Bytes of an archive, read within their bounds. */
class Reader {
public:
    explicit Reader(const string& content) : content(content) {
    }
    /** A little-endian integer. */
    template <typename Integer>
    Integer get(uint64_t at) const {
        require(at, sizeof(Integer));
        Integer value = 0;
        for (size_t i = 0; i < sizeof(Integer); i++)
            value |= (Integer)((Integer)(unsigned char)content[at + i] << 8 * i);
        return value;
    }
    const char* bytes(uint64_t at, uint64_t size) const {
        require(at, size);
        return content.data() + at;
    }
    uint64_t size() const {
        return content.size();
    }

private:
    void require(uint64_t at, uint64_t size) const {
        if (at > content.size() || size > content.size() - at)
            throw runtime_error("it is truncated.");
    }
    const string& content;
};

struct Entry {
    string name;
    uint64_t size, offset;
    uint32_t checksum;
    bool compressed;
};

/** Replace the numbers of an entry that didn't fit into 32 bits by those of its zip64 field. */
void readExtra(const Reader& reader, uint64_t at, uint64_t end, Entry& entry, uint64_t& stored) {
    while (at + 4 <= end) {
        const uint64_t length = reader.get<uint16_t>(at + 2);
        if (reader.get<uint16_t>(at) == EXTRA64) {
            uint64_t next = at + 4;
            for (uint64_t* value : {&entry.size, &stored, &entry.offset})
                if (*value == ELSEWHERE) {
                    *value = reader.get<uint64_t>(next);
                    next += 8;
                }
        }
        at += 4 + length;
    }
}

/** Read an entry of the directory, and move on to the next one. */
Entry readEntry(const Reader& reader, uint64_t& at) {
    if (reader.get<uint32_t>(at) != ENTRY)
        throw runtime_error("its directory is damaged.");
    const uint64_t name = reader.get<uint16_t>(at + 28), extra = reader.get<uint16_t>(at + 30),
                   comment = reader.get<uint16_t>(at + 32);
    uint64_t stored = reader.get<uint32_t>(at + 20);
    Entry entry = {string(reader.bytes(at + ENTRY_SIZE, name), name), reader.get<uint32_t>(at + 24),
            reader.get<uint32_t>(at + 42), reader.get<uint32_t>(at + 16),
            reader.get<uint16_t>(at + 10) != STORED};
    readExtra(reader, at + ENTRY_SIZE + name, at + ENTRY_SIZE + name + extra, entry, stored);
    if (!entry.compressed && stored != entry.size)
        throw runtime_error("its entry " + entry.name + " has two sizes.");
    at += ENTRY_SIZE + name + extra + comment;
    return entry;
}

void checkEntry(const Reader& reader, const Entry& entry, const UniSimInflate& inflate) {
    if (reader.get<uint32_t>(entry.offset) != LOCAL_HEADER)
        throw runtime_error("its entry " + entry.name + " is damaged.");
    const uint64_t start = entry.offset + LOCAL_SIZE + reader.get<uint16_t>(entry.offset + 26) +
                           reader.get<uint16_t>(entry.offset + 28);
    const string inflated = entry.compressed ? inflate(entry.name) : "";
    const char* data = entry.compressed ? inflated.data() : reader.bytes(start, entry.size);
    const uint64_t size = entry.compressed ? inflated.size() : entry.size;
    if (size != entry.size || computeCrc32(data, size) != entry.checksum)
        throw runtime_error("its entry " + entry.name + " fails its checksum.");
}

/** Where the end record is. */
uint64_t findEnd(const Reader& reader) {
    if (reader.size() < END_SIZE)
        throw runtime_error("it is no archive.");
    const uint64_t last = reader.size() - END_SIZE, first = last - min<uint64_t>(last, LONGEST_COMMENT);
    for (uint64_t at = last + 1; at-- > first;)
        if (reader.get<uint32_t>(at) == END)
            return at;
    throw runtime_error("it is no archive, or truncated.");
}

} // namespace

void checkArchive(const string& content, const UniSimInflate& inflate) {
    const Reader reader(content);
    const uint64_t end = findEnd(reader);
    uint64_t count = reader.get<uint16_t>(end + 10), at = reader.get<uint32_t>(end + 16);
    if (end >= LOCATOR_SIZE && reader.get<uint32_t>(end - LOCATOR_SIZE) == LOCATOR64) {
        const uint64_t end64 = reader.get<uint64_t>(end - LOCATOR_SIZE + 8);
        reader.bytes(end64, END64_SIZE);
        if (reader.get<uint32_t>(end64) != END64)
            throw runtime_error("its directory is damaged.");
        count = reader.get<uint64_t>(end64 + 32);
        at = reader.get<uint64_t>(end64 + 48);
    }
    set<string> names;
    for (uint64_t i = 0; i < count; i++) {
        const Entry entry = readEntry(reader, at);
        if (!names.insert(entry.name).second)
            throw runtime_error("its entry " + entry.name + " occurs twice.");
        checkEntry(reader, entry, inflate);
    }
}

} // namespace UniSimPlugin
