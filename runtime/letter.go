package sturdy

import (
	"encoding/binary"
	"fmt"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// letter is a message on its way, as it is stored. What stands in it is all that a target on
// another host needs, too: (incarnation of the sender's world, number) tells letters apart
// for ever, and numbers rise along each channel.
//
// The stored form is sender, ceiling, opening, flags, those of seq, and from, theirs, box
// and channel that flags names, at, every, method, code, text, body: unsigned numbers as uvarints, at and every as
// varints, texts with their length in front, the body to the end; the slots are the record's.
type letter struct {
	number  uint64 // of the message, and of the object that its promise is or would be; part of the key
	sender  uint64 // the object whose method sent it, and who is charged for it; 0: the program
	ceiling uint64 // the object that says what may be used to deliver it; 0: anything
	opening uint64 // the incarnation of the world in which it was sent
	wanted  bool   // its promise is an object
	seq     uint64 // where it stands in the channel to another host; 0: where number says
	from    uint64 // the peer for whom it is delivered here; 0: none, see peer.go
	theirs  uint64 // its number there, or that of what it answers; 0: it has to do with no peer
	box     uint64 // whose mailbox it waits in there
	channel uint64 // the lineage of the world there
	at      int64  // when it was sent, in nanoseconds since 1970
	every   int64  // of an alarm: nanoseconds until it goes off again; 0: it does not
	method  string
	code    caps.Code // of a dead letter: why
	text    string    // of a dead letter: why, for people
	body    []byte
	slots   []objstore.Slot // the target's first, then the argument's

	ran bool // not stored: its method was called
}

// answers reports whether l is the outcome of a letter of another host.
func (l *letter) answers() bool { return l.theirs != 0 && l.from == 0 }

// away reports whether l is for another host.
func (l *letter) away() bool { return l.answers() || l.slots[0].Rights&awayBit != 0 }

// to is the object that the letter is for.
func (l *letter) to() uint64 { return l.slots[0].OID.N }

func (l *letter) record() objstore.Record {
	b := make([]byte, 0, 64+len(l.method)+len(l.text)+len(l.body))
	flags := uint64(0)
	for i, set := range [...]bool{l.wanted, l.seq != 0, l.theirs != 0} {
		if set {
			flags |= 1 << i
		}
	}
	for _, n := range [...]uint64{l.sender, l.ceiling, l.opening, flags} {
		b = binary.AppendUvarint(b, n)
	}
	if l.seq != 0 {
		b = binary.AppendUvarint(b, l.seq)
	}
	if l.theirs != 0 {
		for _, n := range [...]uint64{l.from, l.theirs, l.box, l.channel} {
			b = binary.AppendUvarint(b, n)
		}
	}
	b = binary.AppendVarint(binary.AppendVarint(b, l.at), l.every)
	for _, s := range [...]string{l.method, string(l.code), l.text} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return objstore.Record{Body: append(b, l.body...), Slots: l.slots}
}

// parseLetter reads a stored letter; its body is rec's. method is what its method may be: if
// it is that, no string is made.
func parseLetter(number uint64, method string, rec objstore.Record) (l letter, err error) {
	p := letterParser{rest: rec.Body}
	l.number, l.slots = number, rec.Slots
	l.sender, l.ceiling, l.opening = p.uvarint(), p.uvarint(), p.uvarint()
	flags := p.uvarint()
	l.wanted = flags&1 != 0
	if flags&2 != 0 {
		l.seq = p.uvarint()
		p.bad = p.bad || l.seq == 0
	}
	if flags&4 != 0 {
		l.from, l.theirs, l.box, l.channel = p.uvarint(), p.uvarint(), p.uvarint(), p.uvarint()
		p.bad = p.bad || l.theirs == 0
	}
	l.at, l.every = p.varint(), p.varint()
	l.method, l.code, l.text = p.str(method), caps.Code(p.str("")), p.str("")
	l.body = p.rest
	if p.bad || flags > 7 || l.every < 0 || len(l.slots) == 0 {
		return letter{}, &caps.Error{Code: caps.ErrDamaged, Text: fmt.Sprintf("damaged: letter %x", number)}
	}
	return l, nil
}

type letterParser struct {
	rest []byte
	bad  bool
}

func (p *letterParser) uvarint() uint64 {
	n, size := binary.Uvarint(p.rest)
	p.skip(size)
	return n
}

func (p *letterParser) varint() int64 {
	n, size := binary.Varint(p.rest)
	p.skip(size)
	return n
}

func (p *letterParser) skip(size int) {
	if size <= 0 {
		p.bad, p.rest = true, nil
		return
	}
	p.rest = p.rest[size:]
}

func (p *letterParser) str(like string) string {
	n := p.uvarint()
	if n > uint64(len(p.rest)) {
		p.bad, p.rest = true, nil
		return ""
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	if string(b) == like {
		return like
	}
	return string(b)
}
