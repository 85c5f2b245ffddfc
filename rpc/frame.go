package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sturdyrt/sturdy/caps"
)

// A frame is its length as a uvarint, and in that length: a byte that says what it is, a
// number as a uvarint, and the fields. Byte strings have their length in front, except for
// a body, which is the rest.
//
//	hello     0       the largest message and the most slots that the sender takes
//	request   id      op, milliseconds until the deadline or 0, what rights the caller has shed,
//	                  target, method, slots, body;
//	                  of opBegin, in front of the target: the request whose result is called
//	                  or 0, what the caller has of that, whether the result will be called
//	response  id      slots, body
//	error     id      operation, object, code, text, cause
//	cancel    id
//	ping      number
//	pong      number  that of the ping
//	release   id      of a request, on whose result no more is called
//	bye       0       why
//	void      any     anything: a request that was withdrawn before it left
//
// The ids of requests rise. Every request is answered once, also one that is canceled. What is
// said to be called is kept until it is released, which follows the answer or a cancel.
type kind byte

const (
	kindVoid kind = iota
	kindHello
	kindRequest
	kindResponse
	kindError
	kindCancel
	kindPing
	kindPong
	kindBye
	kindRelease
)

// op is what a request asks.
type op uint8

const (
	opCall op = 1 + iota
	opRestore
	opDescribe
	opRoot
	opSend
	opOperate
	opBegin // opCall, of a result that may not be known yet, or whose result may be called then
)

// changesNothing reports whether a request may be repeated although it may have run.
func (o op) changesNothing() bool { return o == opRestore || o == opDescribe || o == opRoot }

// request is what one host asks of another. What target and slots hold is for those to know
// who make and serve requests.
type request struct {
	op     op
	sheds  uint8  // the rights that the thread which calls may not use, of anything; 0: it is none
	on     uint64 // the request whose result is called; 0: target is. Of opBegin, as the next two
	has    uint8  // what the caller has of that result
	keep   bool   // the result will be called
	target []byte
	method string
	body   []byte
	slots  [][]byte
	of     *kept  // the result that is called, where the request is served
	is     *kept  // what keeps the result of this one there
	begun  func() // lets the next begin that is called on the same result; nil: there is none
}

// response is the answer to a request that succeeded.
type response struct {
	body  []byte
	slots [][]byte
}

// frame is a frame that was read. Its slices are parts of what it was read from.
type frame struct {
	kind     kind
	id       uint64
	op       op
	left     uint64 // milliseconds until the deadline; 0: there is none
	sheds    uint8
	on       uint64
	has      uint8
	keep     bool
	target   []byte
	method   []byte
	slots    [][]byte
	body     []byte
	failure  [5][]byte // operation, object, code, text, cause
	reason   []byte
	message  uint64 // of a hello: the largest message
	maxSlots uint64 // of a hello
}

func (f *frame) answer() response { return response{body: f.body, slots: f.slots} }

func (f *frame) err() *caps.Error {
	return &caps.Error{
		Op: plain(f.failure[0]), Object: plain(f.failure[1]), Code: caps.Code(plain(f.failure[2])),
		Text: plain(f.failure[3]), Cause: caps.Code(plain(f.failure[4])),
	}
}

// plain is what a peer wrote for people, without what would steer their terminal.
func plain(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}

var errFrame = errors.New("a frame that is cut short, or has bytes left over")

// parse reads the frame that b is, without its length. It allocates room for the slots and
// nothing else.
func (f *frame) parse(b []byte, lim *Limits) error {
	p := frameParser{rest: b}
	*f = frame{kind: kind(p.byte()), id: p.uvarint()}
	switch f.kind {
	case kindVoid:
		return p.fault
	case kindHello:
		f.message, f.maxSlots = p.uvarint(), p.uvarint()
	case kindRequest:
		f.op, f.left, f.sheds = op(p.byte()), p.uvarint(), p.byte()
		if f.op == opBegin {
			f.on, f.has, f.keep = p.uvarint(), p.byte(), p.bool()
		}
		f.target, f.method = p.bytes(maxToken), p.bytes(maxMethod)
		f.slots, f.body = p.slots(lim.Slots), p.all()
		if f.op < opCall || f.op > opBegin {
			p.fail(fmt.Errorf("a request for %d, which is nothing", f.op))
		}
	case kindResponse:
		f.slots, f.body = p.slots(lim.Slots), p.all()
	case kindError:
		for i, most := range [...]int{maxName, maxName, maxName, maxText, maxName} {
			f.failure[i] = p.bytes(most)
		}
	case kindBye:
		f.reason = p.bytes(maxReason)
	case kindCancel, kindPing, kindPong, kindRelease:
	default:
		p.fail(fmt.Errorf("a frame of kind %d, which is none", f.kind))
	}
	if len(p.rest) > 0 {
		p.fail(errFrame)
	}
	return p.fault
}

// frameParser takes fields off rest. The first fault stays, and whatever is taken after it
// is empty.
type frameParser struct {
	rest  []byte
	fault error
}

func (p *frameParser) fail(fault error) {
	if p.fault == nil {
		p.fault = fault
	}
	p.rest = nil
}

func (p *frameParser) byte() byte {
	if len(p.rest) == 0 {
		p.fail(errFrame)
		return 0
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	return c
}

func (p *frameParser) bool() bool {
	c := p.byte()
	if c > 1 {
		p.fail(errFrame)
	}
	return c == 1
}

func (p *frameParser) uvarint() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 {
		p.fail(errFrame)
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

// bytes takes a byte string. Its capacity ends with it, so that whoever appends to it does
// not write into what follows.
func (p *frameParser) bytes(most int) []byte {
	n := p.uvarint()
	switch {
	case n > uint64(most):
		p.fail(fmt.Errorf("a field of %d bytes, more than %d", n, most))
		return nil
	case n > uint64(len(p.rest)):
		p.fail(errFrame)
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *frameParser) slots(most int) [][]byte {
	n := p.uvarint()
	switch {
	case n > uint64(most):
		p.fail(fmt.Errorf("%d slots, more than %d", n, most))
		return nil
	case n > uint64(len(p.rest)): // each takes a byte at least
		p.fail(errFrame)
		return nil
	case n == 0:
		return nil
	}
	slots := make([][]byte, n)
	for i := range slots {
		slots[i] = p.bytes(maxToken)
	}
	return slots
}

func (p *frameParser) all() []byte {
	b := p.rest
	p.rest = nil
	return b
}

// maxHeader is the most that stands in front of a frame's fields: its length, its kind and
// its number.
const maxHeader = 2*binary.MaxVarintLen64 + 1

func uvarintSize(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

func fieldSize(n int) int { return uvarintSize(uint64(n)) + n }

func slotsSize(slots [][]byte) int {
	n := uvarintSize(uint64(len(slots)))
	for _, s := range slots {
		n += fieldSize(len(s))
	}
	return n
}

// size is that of the frame's fields behind its number.
func (q *request) size(left uint64) int {
	n := 2 + uvarintSize(left)
	if q.op == opBegin {
		n += uvarintSize(q.on) + 2
	}
	return n + fieldSize(len(q.target)) + fieldSize(len(q.method)) + slotsSize(q.slots) + len(q.body)
}

func (r *response) size() int { return slotsSize(r.slots) + len(r.body) }

// appendHeader begins a frame whose fields take size bytes.
func appendHeader(b []byte, k kind, id uint64, size int) []byte {
	b = binary.AppendUvarint(b, uint64(1+uvarintSize(id)+size))
	return binary.AppendUvarint(append(b, byte(k)), id)
}

func appendRequest(b []byte, id uint64, q *request, left uint64) []byte {
	b = appendHeader(b, kindRequest, id, q.size(left))
	b = append(binary.AppendUvarint(append(b, byte(q.op)), left), q.sheds)
	if q.op == opBegin {
		b = append(binary.AppendUvarint(b, q.on), q.has, 0)
		if q.keep {
			b[len(b)-1] = 1
		}
	}
	b = appendField(appendField(b, q.target), q.method)
	return append(appendSlots(b, q.slots), q.body...)
}

func appendResponse(b []byte, id uint64, r *response) []byte {
	b = appendHeader(b, kindResponse, id, r.size())
	return append(appendSlots(b, r.slots), r.body...)
}

func appendError(b []byte, id uint64, e *caps.Error) []byte {
	fields := [...]string{
		cut(e.Op, maxName), cut(e.Object, maxName), cut(string(e.Code), maxName),
		cut(e.Text, maxText), cut(string(e.Cause), maxName),
	}
	size := 0
	for _, s := range fields {
		size += fieldSize(len(s))
	}
	b = appendHeader(b, kindError, id, size)
	for _, s := range fields {
		b = appendField(b, s)
	}
	return b
}

func appendBye(b []byte, reason string) []byte {
	reason = cut(reason, maxReason)
	return appendField(appendHeader(b, kindBye, 0, fieldSize(len(reason))), reason)
}

func appendHello(b []byte, lim *Limits) []byte {
	message, slots := uint64(lim.MessageBytes), uint64(lim.Slots)
	b = appendHeader(b, kindHello, 0, uvarintSize(message)+uvarintSize(slots))
	return binary.AppendUvarint(binary.AppendUvarint(b, message), slots)
}

func appendSlots(b []byte, slots [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(slots)))
	for _, s := range slots {
		b = appendField(b, s)
	}
	return b
}

func appendField[T string | []byte](b []byte, field T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// cut is s, or what of its beginning takes no more than most bytes and splits no character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
