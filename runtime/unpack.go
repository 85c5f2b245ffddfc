package sturdy

import "github.com/sturdyrt/sturdy/caps"

// unpack reads a batch of host. What is wrong with one letter is that letter's refusal; what
// cannot be read is an error.
func (rt *Runtime) unpack(in *intake, batch []byte) (all []arrival, err error) {
	bad := &caps.Error{Op: "accept", Object: in.host, Code: caps.ErrBadArgument, Text: "a batch of letters from the other host does not decode"}
	p := letterParser{rest: batch}
	version := p.uvarint()
	if version != batchVersion && version != batchBehind {
		return nil, bad
	}
	in.lineage, in.expects = p.uvarint(), p.uvarint()
	if version == batchBehind {
		in.after = p.uvarint()
	}
	u := unpacker{rt: rt, host: in.host, at: in.at}
	all = make([]arrival, 0, min(maxParcels, 1+len(batch)/leastParcel))
	for len(p.rest) > 0 && !p.bad {
		a := arrival{seq: p.uvarint(), number: p.uvarint()}
		if a.number != 0 {
			u.one(&p, &a)
		} else {
			_, a.refused = rt.ImportOwn([]byte(p.str("")), in.host)
		}
		if all = append(all, a); len(all) > maxParcels {
			return nil, bad
		}
	}
	if p.bad {
		return nil, bad
	}
	return all, nil
}

// unpacker reads the letters of a batch. Many are for the same target, which is looked up once.
type unpacker struct {
	rt       *Runtime
	host, at string
	token    string // of the target of the last letter
	to       caps.Ref
	refused  error
}

func (u *unpacker) target(token string) (caps.Ref, error) {
	if token != u.token || u.token == "" {
		u.token = token
		u.to, u.refused = u.rt.ImportOwn([]byte(token), u.host)
	}
	return u.to, u.refused
}

func (u *unpacker) one(p *letterParser, a *arrival) {
	a.box = p.uvarint()
	switch kind := p.uvarint(); kind {
	case isAnswer:
		a.answer, a.ran = true, p.str(ranText) == ranText
		a.channel = p.uvarint()
	case isMessage, isOld:
		if kind == isOld {
			a.age = p.uvarint()
		}
		if a.sheds = caps.Rights(p.uvarint()); a.sheds&^everything != 0 {
			p.bad = true
		}
		a.to, a.refused = u.target(p.str(u.token))
		a.method = p.str("")
		if len(a.method) > maxKind || !caps.Printable(a.method) {
			a.refused = badToken()
		}
	default:
		p.bad = true
	}
	a.body = []byte(p.str(""))
	n := p.uvarint()
	if n > maxSlots || n > uint64(len(p.rest)) {
		p.bad = true
	}
	for ; n > 0 && !p.bad; n-- {
		token := p.str("")
		if p.bad {
			return
		}
		r, err := u.rt.Import([]byte(token), u.host, u.at)
		if err == nil && r.IsNull() {
			err = badToken()
		}
		if a.refused == nil {
			a.refused = err
		}
		a.args = append(a.args, r)
	}
}
