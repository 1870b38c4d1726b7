package ui

import (
	"fmt"
	"strconv"
	"time"
)

// Size is a number of bytes in decimal units, as disks and links are sold.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 999.5 && unit < 6 {
		value /= 1000
		unit++
	}
	if value < 99.95 {
		return fmt.Sprintf("%.1f %cB", value, " kMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f %cB", value, " kMGTPE"[unit])
}

// Rate is bytes per second.
func Rate(n int64, d time.Duration) string {
	if d <= 0 {
		return Size(n) + "/s"
	}
	return Size(int64(float64(n)/d.Seconds())) + "/s"
}

// Duration is a time to the precision that matters to a person.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	}
}

// Percent is the share of part in whole.
func Percent(part, whole int64) string {
	if whole <= 0 {
		return "0 %"
	}
	return fmt.Sprintf("%d %%", int64(float64(part)/float64(whole)*100+0.5))
}

// Count is a number in a table.
func Count(n int) string { return strconv.Itoa(n) }

// Plural is a number with what it counts.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
