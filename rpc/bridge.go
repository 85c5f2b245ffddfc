package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// This file is where Refs become tokens and tokens Refs, and nowhere else.

// everything is all rights that a ceiling can leave.
const everything = caps.Read | caps.Write | caps.Run

// Deliver implements sturdy.Wire.
func (n *Node) Deliver(ctx context.Context, host, at string, to []byte, m caps.Message) (caps.Reply, error) {
	q, err := n.asks(ctx, host, m)
	if err != nil {
		return caps.Reply{}, err
	}
	q.op, q.target = opCall, to
	r, at, err := n.call(ctx, host, []string{at}, q)
	return n.told(m.Method, host, at, r, err)
}

// asks is m as a request of host, but for its target.
func (n *Node) asks(ctx context.Context, host string, m caps.Message) (request, error) {
	q := request{method: m.Method, body: m.Body, sheds: uint8(everything &^ n.rt.Ceiling(ctx))}
	for _, r := range m.Slots {
		token, err := n.rt.Export(ctx, r, host)
		if err != nil {
			return q, err
		}
		q.slots = append(q.slots, token)
	}
	return q, nil
}

// told is what a call of method has come to at host.
func (n *Node) told(method, host, at string, r response, err error) (caps.Reply, error) {
	if err != nil {
		return caps.Reply{}, named(err, method, host)
	}
	reply := caps.Reply{Body: r.body}
	if reply.Slots, err = n.refs(r.slots, host, at); err != nil {
		return caps.Reply{}, happened(method, host, err)
	}
	return reply, nil
}

// happened is the error of a call that was made, whose result does not come across.
func happened(op, object string, why error) error {
	return &caps.Error{Op: op, Object: object, Code: caps.ErrBadResult, Text: "it happened; a reference in its result does not come across: " + why.Error()}
}

// call asks host. A link that breaks before q was sent over it, or when q changes nothing, is worth
// a second try: the host may have been restarted.
func (n *Node) call(ctx context.Context, host string, at []string, q request) (r response, found string, err error) {
	for range 2 {
		var l *link
		if l, err = n.reach(ctx, host, at); err != nil {
			return r, "", err
		}
		found = l.at
		r, err = l.call(ctx, q)
		var again repeatable
		if !errors.As(err, &again) {
			break
		}
		if err = again.is; l.err() == nil || ctx.Err() != nil {
			break
		}
	}
	return r, found, err
}

func (n *Node) refs(tokens [][]byte, host, at string) (refs []caps.Ref, err error) {
	for _, token := range tokens {
		r, err := n.rt.Import(token, host, at)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// Describe implements sturdy.Wire.
func (n *Node) Describe(ctx context.Context, host, at string, to []byte) (sturdy.ObjectInfo, error) {
	r, _, err := n.call(ctx, host, []string{at}, request{op: opDescribe, target: to})
	if err != nil {
		return sturdy.ObjectInfo{}, named(err, "describe", host)
	}
	return sturdy.DecodeInfo(r.body)
}

// Send implements sturdy.Wire.
func (n *Node) Send(ctx context.Context, host, at string, letters []byte) ([]byte, error) {
	r, _, err := n.call(ctx, host, []string{at}, request{op: opSend, body: letters})
	return r.body, err
}

// Restore implements sturdy.Wire.
func (n *Node) Restore(ctx context.Context, s caps.SturdyRef) (caps.Ref, error) {
	at := slices.DeleteFunc(s.Addresses(), func(a string) bool { return strings.HasPrefix(a, unixScheme) }) // whoever wrote it has no say about sockets here
	return n.restore(ctx, s, at)
}

// restore asks the host of s, which may be found at the addresses given.
func (n *Node) restore(ctx context.Context, s caps.SturdyRef, at []string) (caps.Ref, error) {
	r, found, err := n.call(ctx, s.Host(), at, request{op: opRestore, body: []byte(s.Reveal())})
	if err != nil {
		return caps.Ref{}, named(err, "restore", s.Host())
	}
	if len(r.slots) != 1 {
		return caps.Ref{}, &caps.Error{Op: "restore", Code: caps.ErrBadResult, Text: fmt.Sprintf("host %s answered with %d references where one was asked for", s.Host(), len(r.slots))}
	}
	return n.rt.Import(r.slots[0], s.Host(), places(found, at))
}

// guest is who is at the other end of a link.
type guest struct {
	n     *Node
	owner bool   // he came through the socket
	at    string // where he was found; empty: he came to us
}

// serve is a handler.
func (g guest) serve(ctx context.Context, l *link, q request) (response, error) {
	rt := g.n.rt
	switch q.op {
	case opCall, opBegin:
		return g.deliver(ctx, l, q)
	case opRestore:
		s, err := caps.ParseSturdyRef(string(q.body))
		if err != nil {
			return response{}, err
		}
		if s.Host() != rt.Host() {
			return response{}, &caps.Error{Op: "restore", Code: caps.ErrNotDelivered, Text: "the sturdy ref is of another host; ask that one"}
		}
		ref, err := rt.Restore(ctx, s)
		if err != nil {
			return response{}, err
		}
		return g.hand(ctx, l, ref)
	case opSend:
		answer, err := rt.Accept(ctx, l.peer(), g.at, q.body)
		return response{body: answer}, err
	case opDescribe:
		ref, err := rt.ImportOwn(q.target, l.peer())
		if err != nil {
			return response{}, err
		}
		info, err := rt.Describe(ctx, ref)
		if err != nil {
			return response{}, err
		}
		body, err := info.Encode()
		return response{body: body}, err
	case opRoot:
		if !g.owner {
			return response{}, &caps.Error{Op: "root", Code: caps.ErrNoRight, Text: "the root is handed out at the socket in the world's directory only; over the network, restore a sturdy ref"}
		}
		return g.hand(ctx, l, rt.Root().Ref)
	case opOperate:
		return g.operate(ctx, l, q)
	}
	return response{}, &caps.Error{Code: caps.ErrNoMethod, Text: fmt.Sprintf("this host does not know request %d; it may be older than the one that asks", q.op)}
}

// hand is the answer that consists of Refs.
func (g guest) hand(ctx context.Context, l *link, refs ...caps.Ref) (r response, err error) {
	for _, ref := range refs {
		token, err := g.n.rt.Export(ctx, ref, l.peer())
		if err != nil {
			return response{}, err
		}
		r.slots = append(r.slots, token)
	}
	return r, nil
}

// deliver calls what the peer has a token of.
func (g guest) deliver(ctx context.Context, l *link, q request) (response, error) {
	rt := g.n.rt
	m, err := caps.Message{Method: q.method, Body: q.body}, error(nil)
	if m.Slots, err = g.n.refs(q.slots, l.peer(), g.at); err != nil {
		return response{}, err
	}
	as := ctx
	if q.sheds != 0 {
		as = rt.Under(ctx, everything&^caps.Rights(q.sheds))
	}
	reply, err := g.call(as, l, q, m)
	if err != nil {
		return response{}, err
	}
	r := response{body: reply.Body}
	for _, ref := range reply.Slots {
		ref, err := ref.Settle(ctx)
		var token []byte
		if err == nil {
			token, err = rt.Export(ctx, ref, l.peer())
		}
		if err != nil {
			return response{}, happened(q.method, ref.String(), err)
		}
		r.slots = append(r.slots, token)
	}
	q.is.settle(reply, nil)
	return r, nil
}
