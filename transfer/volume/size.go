package volume

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MinSize is the least size of a volume, in bytes.
const MinSize = 1 << 20

// What media hold, in bytes, less one in a hundred for what a file system
// needs for itself.
const (
	CD    = 700 << 20 / 100 * 99
	DVD   = 4_700_372_992 / 100 * 99
	DVDDL = 8_543_666_176 / 100 * 99
	BD25  = 25_025_314_816 / 100 * 99
	BD50  = 50_050_629_632 / 100 * 99
	BD100 = 100_103_356_416 / 100 * 99
	// FAT is the largest file of a FAT file system, and what most sticks and
	// programs take: that is "auto", too.
	FAT = 4<<30 - 1
)

var sizes = map[string]int64{
	"auto": FAT, "fat": FAT, "cd": CD, "dvd": DVD, "dvd-dl": DVDDL, "bd": BD25, "bd25": BD25, "bd50": BD50, "bd100": BD100,
}

var units = map[string]float64{
	"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1e3, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

// ParseSize reads the size of a volume: a medium (auto, fat, cd, dvd, dvd-dl,
// bd, bd50, bd100) or a number with a unit, such as 4GiB, 650MB or 1.5g.
func ParseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if n, ok := sizes[text]; ok {
		return n, nil
	}
	digits := strings.TrimRight(text, "bikmgt ")
	unit, known := units[strings.TrimSpace(text[len(digits):])]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || strings.ContainsAny(digits, "+-exinp_") {
		return 0, fmt.Errorf("size %q: it is neither a medium (auto, fat, cd, dvd, dvd-dl, bd, bd50, bd100) nor a number such as 4GiB or 650MB", s)
	}
	switch n *= unit; {
	case n < MinSize:
		return 0, fmt.Errorf("size %q: the least is %d bytes", s, MinSize)
	case n > maxTotal:
		return 0, fmt.Errorf("size %q: it is too large", s)
	}
	return int64(math.Floor(n)), nil
}
