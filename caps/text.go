package caps

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxText bounds what String returns of a Value, in bytes.
const maxText = 1000

// String is v on one line for people: strings quoted, lists in brackets, entries in braces,
// and "…" in place of what would make it longer than some thousand bytes.
func (v Value) String() string {
	var b strings.Builder
	v.print(&b)
	return shortened(b.String(), maxText)
}

// print stops soon after b is longer than maxText.
func (v Value) print(b *strings.Builder) {
	switch x := v.v.(type) {
	case nil:
		b.WriteString("nil")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case uint64:
		b.WriteString(strconv.FormatUint(x, 10))
	case float64:
		b.WriteString(floatText(x))
	case string:
		b.WriteString(strconv.Quote(x[:min(len(x), maxText)]))
	case []byte:
		b.WriteString("b" + strconv.Quote(string(x[:min(len(x), maxText)])))
	case time.Time:
		b.WriteString(x.Format(time.RFC3339Nano))
	case Ref:
		b.WriteString(printable(x.String()))
	case []Value:
		b.WriteByte('[')
		for i := 0; i < len(x) && b.Len() <= maxText; i++ {
			comma(b, i)
			x[i].print(b)
		}
		b.WriteByte(']')
	case []Entry:
		b.WriteByte('{')
		for i := 0; i < len(x) && b.Len() <= maxText; i++ {
			comma(b, i)
			x[i].Key.print(b)
			b.WriteString(": ")
			x[i].Val.print(b)
		}
		b.WriteByte('}')
	}
}

func comma(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(", ")
	}
}

// floatText keeps a float apart from an integer: "1.0".
func floatText(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if strings.Trim(s, "-0123456789") == "" {
		s += ".0"
	}
	return s
}

// printable keeps what a target of somebody else's calls itself on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, shortened(s, maxText))
}
