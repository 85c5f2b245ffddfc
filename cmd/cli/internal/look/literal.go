package look

import (
	"strconv"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
)

// Literal is v on one line, all of it: what v.String cuts off is there. It ends soon after
// limit bytes, if limit is not 0.
func Literal(v caps.Value, limit int) string {
	l := literal{limit: limit}
	l.value(v)
	return l.b.String()
}

type literal struct {
	b     strings.Builder
	limit int
}

func (l *literal) full() bool { return l.limit > 0 && l.b.Len() > l.limit }

func (l *literal) value(v caps.Value) {
	switch x := v.Any().(type) {
	case string:
		l.b.WriteString(strconv.Quote(l.head(x)))
	case []byte:
		l.b.WriteString("b" + strconv.Quote(l.head(string(x))))
	case time.Time:
		l.b.WriteString(x.Format(time.RFC3339Nano))
	case []caps.Value:
		l.b.WriteByte('[')
		for i := 0; i < len(x) && !l.full(); i++ {
			l.comma(i)
			l.value(x[i])
		}
		l.b.WriteByte(']')
	case []caps.Entry:
		l.b.WriteByte('{')
		for i := 0; i < len(x) && !l.full(); i++ {
			l.comma(i)
			l.value(x[i].Key)
			l.b.WriteString(": ")
			l.value(x[i].Val)
		}
		l.b.WriteByte('}')
	default:
		l.b.WriteString(v.String())
	}
}

// head is as much of s as is needed to fill the line.
func (l *literal) head(s string) string {
	if l.limit > 0 && len(s) > l.limit {
		return s[:l.limit]
	}
	return s
}

func (l *literal) comma(i int) {
	if i > 0 {
		l.b.WriteString(", ")
	}
}
