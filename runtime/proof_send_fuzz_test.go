package sturdy

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/sturdyrt/sturdy/objstore"
)

// FuzzParseLetter feeds the parser of stored letters with anything. It never panics, and what
// it understands it writes down again as the same letter.
func FuzzParseLetter(f *testing.F) {
	to := objstore.Slot{OID: objstore.OID{Vat: 1, N: 17}, Rights: 7}
	for _, l := range []letter{
		{},
		{sender: 1, ceiling: 2, opening: 3, wanted: true, at: -4, every: 5, method: "m", body: []byte("body")},
		{sender: 1 << 63, at: 1<<63 - 1, method: "m", code: "c", text: "t"},
	} {
		l.slots = []objstore.Slot{to}
		rec := l.record()
		f.Add(rec.Body, true)
		f.Add(rec.Body[:len(rec.Body)/2], true)
		f.Add(rec.Body, false)
	}
	f.Add(bytes.Repeat([]byte{0xff}, 40), true)
	f.Add([]byte{0, 0, 0, 2, 0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, body []byte, slot bool) {
		rec := objstore.Record{Body: body}
		if slot {
			rec.Slots = []objstore.Slot{to}
		}
		l, err := parseLetter(7, "", rec)
		if err != nil {
			return
		}
		if l.to() != to.OID.N {
			t.Errorf("it is for %x", l.to())
		}
		again, err := parseLetter(7, "", l.record())
		if l.body == nil {
			l.body = []byte{}
		}
		if again.body == nil {
			again.body = []byte{}
		}
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Errorf("%+v became %+v, %v", l, again, err)
		}
	})
}
