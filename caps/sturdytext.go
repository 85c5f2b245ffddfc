package caps

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// How a SturdyRef is written. There is one way to write each:
//
//	HOST    20 bytes in base32 (RFC 4648), lower case, no padding: 32 characters
//	GRANT   a number of 64 bits in lower-case hexadecimal, no leading zeros, not 0
//	CAVEAT  rights=LETTERS  those of "rwxs" that hold, in this order, s for Shallow; or "none"
//	        only=NAME+NAME  1 to 64 names, sorted as written, none twice
//	        for=TEXT        1 to 256 bytes, written like a name: whom the weaker text is for
//	        at=ADDRESS      like for: where the host may be found; it takes nothing away
//	        until=TIME      like 2026-12-01T00:00:00Z: always UTC, whole seconds, after 1970 began
//	TAG     20 bytes like HOST
//
// A byte of a name that is not a letter or digit of ASCII, "_", "." or "-" is written %XX,
// in upper case. The time is a date, not a count of seconds, because people read the
// caveats: they are all that a redacted text shows.

const (
	scheme     = "sturdy://"
	tagBytes   = 20 // 160 bits
	nameChars  = 32 // 20 bytes in base32, five bits a character: every such text is canonical
	base32     = "abcdefghijklmnopqrstuvwxyz234567"
	maxSturdy  = 2048
	maxCaveats = 16
	maxOnly    = 64
	maxName    = 256
	rightChars = "rwxs" // in the order of the bits of Rights
	timeForm   = time.RFC3339
	lastSecond = 253402300799 // of the year 9999
)

// faultIn says what is wrong with text, without a word of it; "" if nothing is.
func faultIn(text string) string {
	if len(text) > maxSturdy {
		return "it is longer than 2048 bytes"
	}
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return "it does not begin with sturdy://"
	}
	host, rest, _ := strings.Cut(rest, "/")
	if !isBase32(host) {
		return "the host is not 32 characters of lower-case base32"
	}
	grant, rest, _ := strings.Cut(rest, "/")
	if !isNumber(grant) {
		return "the grant is not a number in lower-case hexadecimal"
	}
	for count := 0; ; count++ {
		part, after, more := strings.Cut(rest, "/")
		switch {
		case !more && !isBase32(part):
			return "the tag at the end is not 32 characters of lower-case base32"
		case !more:
			return ""
		case count == maxCaveats:
			return "it has more than 16 caveats"
		}
		if why := faultInCaveat(part); why != "" {
			return why
		}
		rest = after
	}
}

func faultInCaveat(caveat string) string {
	kind, text, _ := strings.Cut(caveat, "=")
	switch kind {
	case "rights":
		if _, ok := rightsOf(text); !ok {
			return "the rights of a caveat are neither none nor some of r, w, x, s in this order"
		}
		return ""
	case "until":
		if _, ok := timeOf(text); !ok {
			return "the time of a caveat is not written like 2026-12-01T00:00:00Z"
		}
		return ""
	case "only":
		return faultInNames(text)
	case "for":
		if !isEscaped(text) || !Printable(unescape(text)) {
			return "the purpose in a caveat is empty, longer than 256 bytes, not printable or not escaped as it should be"
		}
		return ""
	case "at":
		if isEscaped(text) && Printable(unescape(text)) {
			return ""
		}
		return "the address in a caveat is empty, longer than 256 bytes, not printable or not escaped as it should be"
	}
	return "a caveat is none of rights=, only=, for=, at= and until="
}

func faultInNames(list string) string {
	last := ""
	for count := 1; ; count++ {
		name, rest, more := strings.Cut(list, "+")
		switch {
		case count > maxOnly:
			return "a caveat has more than 64 names"
		case !isEscaped(name):
			return "a name in a caveat is empty, longer than 256 bytes or not escaped as it should be"
		case name <= last:
			return "the names in a caveat are not sorted, or one is there twice"
		case !more:
			return ""
		}
		last, list = name, rest
	}
}

// Printable reports whether s can be shown in a listing as it is: UTF-8 without controls,
// invisible characters and those that turn the direction of writing.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// isBase32 reports whether s is 20 bytes in base32.
func isBase32(s string) bool {
	if len(s) != nameChars {
		return false
	}
	for i := range nameChars {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// isNumber reports whether s is how a grant is written.
func isNumber(s string) bool {
	if len(s) == 0 || len(s) > 16 || s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// encodeTag writes a tag. It is done by hand because encoding/base32 builds its tables at
// run time, and its decoder skips line ends.
func encodeTag(t tag) string {
	var text [nameChars]byte
	var bits, count uint
	n := 0
	for _, b := range t {
		bits, count = bits<<8|uint(b), count+8
		for ; count >= 5; n++ {
			count -= 5
			text[n] = base32[bits>>count&31]
		}
	}
	return string(text[:])
}

// decodeTag is the inverse for what isBase32.
func decodeTag(text string) (t tag) {
	var bits, count uint
	n := 0
	for i := range nameChars {
		digit := text[i] - 'a'
		if text[i] < 'a' {
			digit = text[i] - '2' + 26
		}
		bits, count = bits<<5|uint(digit), count+5
		if count >= 8 {
			count -= 8
			t[n] = byte(bits >> count)
			n++
		}
	}
	return t
}

// rightsText writes rights as letters, or "none". Unlike String it shows Shallow, which
// makes a difference even beside Write: to what cannot write anyway.
func rightsText(to Rights) string {
	var text []byte
	for i := range len(rightChars) {
		if to&(1<<i) != 0 {
			text = append(text, rightChars[i])
		}
	}
	if len(text) == 0 {
		return "none"
	}
	return string(text)
}

// rightsOf is the inverse of rightsText.
func rightsOf(text string) (to Rights, ok bool) {
	if text == "none" {
		return 0, true
	}
	for i := range len(text) {
		at := strings.IndexByte(rightChars, text[i])
		if at < 0 || Rights(1)<<at <= to { // not above all that were there before
			return 0, false
		}
		to |= 1 << at
	}
	return to, to != 0
}

// timeOf reads a time that is written in the one way.
func timeOf(text string) (time.Time, bool) {
	t, err := time.Parse(timeForm, text)
	if err != nil || t.Unix() <= 0 {
		return time.Time{}, false
	}
	var again [len(timeForm)]byte
	t = t.UTC()
	return t, string(t.AppendFormat(again[:0], timeForm)) == text
}

// isPlain reports whether c stands for itself in a name.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

// escape writes any name.
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	text := make([]byte, 0, len(name))
	for i := range len(name) {
		if c := name[i]; isPlain(c) {
			text = append(text, c)
		} else {
			text = append(text, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(text)
}

// isEscaped reports whether text is what escape makes of a name of 1 to 256 bytes.
func isEscaped(text string) bool {
	count := 0
	for i := 0; i < len(text); i++ {
		if text[i] == '%' {
			c, ok := escaped(text[i:])
			if !ok || isPlain(c) {
				return false
			}
			i += 2
		} else if !isPlain(text[i]) {
			return false
		}
		count++
	}
	return count > 0 && count <= maxName
}

// escaped returns the byte that text, which begins with a percent sign, begins with.
func escaped(text string) (c byte, ok bool) {
	if len(text) < 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[1:3], 16, 8)
	lower := func(c byte) bool { return c >= 'a' }
	return byte(n), err == nil && !lower(text[1]) && !lower(text[2])
}

// unescape is the inverse of escape.
func unescape(text string) string {
	name := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			c, _ = escaped(text[i:])
			i += 2
		}
		name = append(name, c)
	}
	return string(name)
}
