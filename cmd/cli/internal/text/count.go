package text

import (
	"strconv"
	"strings"
	"time"
)

// Int is n with a comma after each three digits.
func Int(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range s {
		if left := len(s) - i; i > 0 && left%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Count is n with its noun, in the plural unless n is 1: "1 object", "1,204 objects".
func Count(n int64, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return Int(n) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return Int(n) + " " + noun + "s"
}

// Took is d to two digits: "1.9 ms", "640 µs", "12 s".
func Took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + " µs"
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + " ms"
	case d < 10*time.Second:
		return Int(d.Milliseconds()) + " ms"
	}
	return Int(int64(d/time.Second)) + " s"
}
