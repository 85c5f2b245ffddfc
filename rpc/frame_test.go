package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sturdyrt/sturdy/caps"
)

func readerOf(from io.Reader, most, buffer int) *frameReader {
	return &frameReader{from: from, most: most, buf: make([]byte, buffer)}
}

// TestFramesOutliveTheBuffer reads frames of many sizes out of a small buffer, a byte, half
// and all of what is wanted at a time; what a frame owns stays what it was.
func TestFramesOutliveTheBuffer(t *testing.T) {
	var stream []byte
	var want [][]byte
	for i := range 300 {
		body := bytes.Repeat([]byte{byte(i)}, i*i%700)
		want = append(want, body)
		stream = appendRequest(stream, uint64(i), &request{op: opCall, method: "m", body: body}, 0)
	}
	for name, from := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "bytes": iotest.OneByteReader(bytes.NewReader(stream)),
		"halves": iotest.HalfReader(bytes.NewReader(stream)), "with the end": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			r := readerOf(from, 1000, 200)
			lim := Limits{}.withDefaults()
			var kept []frame
			for i := range want {
				b, owned, err := r.next()
				if err != nil {
					t.Fatal(i, err)
				}
				if !owned {
					b = bytes.Clone(b)
				}
				var f frame
				if err := f.parse(b, &lim); err != nil {
					t.Fatal(i, err)
				}
				kept = append(kept, f)
			}
			for i, f := range kept {
				if f.id != uint64(i) || !bytes.Equal(f.body, want[i]) {
					t.Fatalf("frame %d: id %d, %d bytes for %d", i, f.id, len(f.body), len(want[i]))
				}
			}
			if _, _, err := r.next(); err != io.EOF {
				t.Error(err)
			}
		})
	}
}

// TestAFrameThatIsCutShortIsNoFrame takes every beginning of a stream.
func TestAFrameThatIsCutShortIsNoFrame(t *testing.T) {
	stream := appendRequest(nil, 1, &request{op: opCall, method: "m", body: make([]byte, 300), slots: [][]byte{{1}}}, 5)
	lim := Limits{}.withDefaults()
	for n := range stream {
		if _, _, err := readerOf(bytes.NewReader(stream[:n]), 1000, 200).next(); err == nil {
			t.Errorf("a frame out of %d bytes", n)
		}
	}
	payload := stream[2:]
	for n := range len(payload) - 300 {
		var f frame
		if err := f.parse(payload[:n], &lim); err == nil {
			t.Errorf("fields out of %d bytes", n)
		}
	}
}

// TestMemoryGrowsWithWhatCame announces much and sends little.
func TestMemoryGrowsWithWhatCame(t *testing.T) {
	announce := binary.AppendUvarint(nil, 1<<30)
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, _, err := readerOf(bytes.NewReader(append(announce, 1, 2, 3)), 1<<30, 64).next(); err == nil {
				b.Fatal("a frame")
			}
		}
	}).AllocedBytesPerOp()
	if got > 1<<12 {
		t.Errorf("%d bytes for three", got)
	}
}

func TestEveryFieldIsBounded(t *testing.T) {
	lim := Limits{Slots: 5}.withDefaults()
	long := func(n int) string { return strings.Repeat("x", n) }
	strip := func(b []byte) []byte {
		_, n := binary.Uvarint(b)
		return b[n:]
	}
	fits := map[string][]byte{
		"target": appendRequest(nil, 1, &request{op: opCall, target: make([]byte, maxToken)}, 0),
		"method": appendRequest(nil, 1, &request{op: opCall, method: long(maxMethod)}, 0),
		"slots":  appendRequest(nil, 1, &request{op: opCall, slots: make([][]byte, 5)}, 0),
		"slot":   appendResponse(nil, 1, &response{slots: [][]byte{make([]byte, maxToken)}}),
		"late":   appendRequest(nil, math.MaxUint64, &request{op: opSend}, math.MaxUint64),
		"bye":    appendBye(nil, long(maxReason+1)),
		"error":  appendError(nil, 1, &caps.Error{Op: long(999), Object: long(999), Code: caps.Code(long(999)), Text: long(9999), Cause: caps.Code(long(999))}),
		"hello":  appendHello(nil, &lim),
		"ping":   appendHeader(nil, kindPing, 9, 0),
		"void":   raw(byte(kindVoid), 1, 2, 3, 4),
	}
	for name, b := range fits {
		var f frame
		if err := f.parse(strip(b), &lim); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(b) > leastMessage {
			t.Errorf("%s: %d bytes, which a peer need not take", name, len(b))
		}
	}
	for name, b := range map[string][]byte{
		"target":        appendRequest(nil, 1, &request{op: opCall, target: make([]byte, maxToken+1)}, 0),
		"method":        appendRequest(nil, 1, &request{op: opCall, method: long(maxMethod + 1)}, 0),
		"slots":         appendRequest(nil, 1, &request{op: opCall, slots: make([][]byte, 6)}, 0),
		"slot":          appendResponse(nil, 1, &response{slots: [][]byte{make([]byte, maxToken+1)}}),
		"no op":         appendRequest(nil, 1, &request{}, 0),
		"unknown op":    appendRequest(nil, 1, &request{op: opBegin + 1}, 0),
		"slots to come": raw(byte(kindResponse), 1, 5, 0),
		"kind":          raw(99, 1),
		"nothing":       raw(),
		"no id":         raw(byte(kindPing)),
		"left over":     raw(byte(kindPing), 1, 1),
		"endless":       raw(append([]byte{byte(kindPing)}, bytes.Repeat([]byte{0xff}, 11)...)...),
		"long error":    appendField(appendHeader(nil, kindError, 1, maxName+3), long(maxName+1)),
	} {
		var f frame
		if err := f.parse(strip(b), &lim); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAFrameBeyondTheLimitIsRefusedUnread(t *testing.T) {
	for name, b := range map[string][]byte{
		"large":   binary.AppendUvarint(nil, 1001),
		"huge":    binary.AppendUvarint(nil, math.MaxUint64),
		"endless": bytes.Repeat([]byte{0xff}, 11),
	} {
		_, _, err := readerOf(bytes.NewReader(b), 1000, 200).next()
		if wrong := (offence{}); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnErrorComesBackAsItWas(t *testing.T) {
	lim := Limits{}.withDefaults()
	want := &caps.Error{Op: "a.b", Object: "a 1", Code: caps.ErrGone, Text: "gone, ä", Cause: caps.ErrRevoked}
	b := appendError(nil, 7, want)
	var f frame
	if err := f.parse(b[uvarintSize(uint64(len(b))):], &lim); err != nil || f.id != 7 || !reflect.DeepEqual(f.err(), want) {
		t.Errorf("%+v, %v", f.err(), err)
	}
}

func TestSizesAreWhatIsWritten(t *testing.T) {
	for shift := range 64 {
		n := uint64(1) << shift
		for _, n := range []uint64{n - 1, n, n + 1} {
			if got, want := uvarintSize(n), len(binary.AppendUvarint(nil, n)); got != want {
				t.Errorf("%d: %d for %d", n, got, want)
			}
		}
	}
}

func TestCutSplitsNoCharacter(t *testing.T) {
	for most, want := range map[int]string{0: "", 1: "a", 2: "a", 3: "aä", 4: "aäb", 9: "aäb"} {
		if got := cut("aäb", most); got != want {
			t.Errorf("%d: %q", most, got)
		}
	}
}

func TestZeroLimitsAreTheDefaults(t *testing.T) {
	got := fmt.Sprint(Limits{}.withDefaults(), Limits{Idle: -1, Slots: -5}.withDefaults() == Limits{}.withDefaults())
	if want := "{128 10s 4194304 1024 16777216 1m0s 1024} true"; got != want {
		t.Error(got)
	}
	if lim := (Limits{MessageBytes: 1, BytesInFlight: 1}).withDefaults(); lim.MessageBytes != leastMessage || lim.BytesInFlight != leastMessage {
		t.Error(lim)
	}
}
