package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strconv"
)

const (
	block = 512
	// maxBundle bounds the content, so that sums of sizes cannot overflow.
	maxBundle = 16 << 40
	// maxUSTAR is the first size that a USTAR header cannot hold.
	maxUSTAR = 8 << 30
	// tarEnd is the length of the two zero blocks that end a tar.
	tarEnd = 2 * block
)

// header is the canonical tar header of an entry: one USTAR block, behind a
// PAX header that holds the size alone when it has 8 GiB or more.
func header(name string, size int64) []byte {
	if size < maxUSTAR {
		return ustar(name, size, tar.TypeReg)
	}
	record := paxRecord("size", strconv.FormatInt(size, 10))
	pax := append(ustar("PaxHeaders/"+name, int64(len(record)), tar.TypeXHeader), make([]byte, block)...)
	copy(pax[block:], record)
	return append(pax, ustar(name, 0, tar.TypeReg)...)
}

// headerSize is the length of header's result.
func headerSize(size int64) int64 {
	if size < maxUSTAR {
		return block
	}
	return 3 * block
}

// padding is the number of zero bytes after size bytes of content.
func padding(size int64) int64 { return -size & (block - 1) }

// ustar writes one header block: mode 0644, owner 0, time 0.
func ustar(name string, size int64, kind byte) []byte {
	b := make([]byte, block)
	copy(b[0:100], name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 0))
	copy(b[148:], "        ") // the checksum counts as spaces
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	copy(b[329:], "0000000\x000000000\x00")
	var sum int
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// paxRecord is "LENGTH KEY=VALUE\n", where LENGTH counts itself.
func paxRecord(key, value string) []byte {
	rest := " " + key + "=" + value + "\n"
	n := len(rest)
	for n != len(strconv.Itoa(n))+len(rest) {
		n = len(strconv.Itoa(n)) + len(rest)
	}
	return []byte(strconv.Itoa(n) + rest)
}

// isZero says whether b holds zero bytes only.
func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
