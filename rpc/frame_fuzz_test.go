package rpc

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzRequest writes a request and reads it again.
func FuzzRequest(f *testing.F) {
	f.Add(uint64(1), uint8(1), []byte("target"), "method", []byte("body"), []byte("slot"), uint8(3), uint64(0))
	f.Add(uint64(9), uint8(6), []byte{}, "m", []byte("body"), []byte{}, uint8(1), uint64(1))
	f.Add(uint64(1)<<63, uint8(5), []byte{}, "", []byte{}, []byte{}, uint8(0), uint64(1)<<40)
	f.Fuzz(func(t *testing.T, id uint64, o uint8, target []byte, method string, body, slot []byte, slots uint8, left uint64) {
		lim := Limits{}.withDefaults()
		q := request{op: op(o%uint8(opBegin)) + opCall, target: target, method: method, body: body, slots: slices.Repeat([][]byte{slot}, int(slots))}
		if q.op == opBegin {
			q.on, q.has, q.keep = id>>1, slots, o > 100
		}
		b := appendRequest(nil, id, &q, left)
		payload, _, err := readerOf(bytes.NewReader(b), len(b), 64).next()
		if err != nil {
			t.Fatal(err)
		}
		var got frame
		err = got.parse(payload, &lim)
		if fits := len(target) <= maxToken && len(method) <= maxMethod && (slots == 0 || len(slot) <= maxToken); fits != (err == nil) {
			t.Fatalf("fits: %v, and %v", fits, err)
		}
		if err == nil && (got.id != id || got.op != q.op || got.on != q.on || got.has != q.has || got.keep != q.keep || got.left != left || !bytes.Equal(got.target, target) || string(got.method) != method ||
			!bytes.Equal(got.body, body) || !slices.EqualFunc(got.slots, q.slots, bytes.Equal)) {
			t.Errorf("%+v for %+v", got, q)
		}
	})
}

// FuzzHostileFrames reads whatever bytes there are as frames. What is taken keeps to the
// limits, and means the same when it is written again.
func FuzzHostileFrames(f *testing.F) {
	lim := Limits{Slots: 7, MessageBytes: leastMessage}.withDefaults()
	f.Add(appendHello(nil, &lim))
	f.Add(appendRequest(nil, 3, &request{op: opCall, target: []byte("t"), method: "m", slots: [][]byte{{1}, {2}}, body: []byte("b")}, 9))
	f.Add(appendHeader(appendRequest(nil, 4, &request{op: opBegin, on: 3, has: 7, keep: true, method: "m"}, 0), kindRelease, 4, 0))
	f.Add(append(appendResponse(nil, 3, &response{body: []byte("x")}), appendBye(nil, "why")...))
	f.Add(append(raw(byte(kindVoid), 0, 9), raw(byte(kindError), 1, 0, 0, 0, 0, 0)...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := readerOf(bytes.NewReader(stream), lim.MessageBytes, 128)
		for {
			b, _, err := r.next()
			if err != nil {
				return
			}
			var got, again frame
			if err := got.parse(b, &lim); err != nil {
				continue
			}
			if len(got.slots) > lim.Slots || len(got.target) > maxToken || len(got.body) > lim.MessageBytes {
				t.Fatalf("beyond the limits: %+v", got)
			}
			var back []byte
			switch got.kind {
			case kindRequest:
				back = appendRequest(nil, got.id, &request{op: got.op, on: got.on, has: got.has, keep: got.keep, target: got.target, method: string(got.method), body: got.body, slots: got.slots}, got.left)
			case kindResponse:
				answer := got.answer()
				back = appendResponse(nil, got.id, &answer)
			default:
				_ = got.err() // must not fail on anything
				continue
			}
			payload, _, err := readerOf(bytes.NewReader(back), len(back), 128).next()
			if err == nil {
				err = again.parse(payload, &lim)
			}
			if err != nil || again.id != got.id || again.left != got.left || again.on != got.on || again.has != got.has || again.keep != got.keep || !bytes.Equal(again.body, got.body) || !slices.EqualFunc(again.slots, got.slots, bytes.Equal) {
				t.Fatalf("%+v became %+v, %v", got, again, err)
			}
		}
	})
}
