package console

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	"github.com/sturdyrt/sturdy/rpc"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// hostVerbs are the functions for other hosts, and for programs that are none.
func (s *Session) hostVerbs() []verb {
	return []verb{
		{"hosts", "", "the hosts that this one has met: where they are, whether they are connected and since when, and how much waits for them", s.hosts},
		{"where", "x", "the host that has x; if it cannot be asked, the one that x is reached through", s.where},
		{"discard_host", "host", "end the waiting of every message that waits for a host which is gone for good: its name, or the first 8 characters. Returns how many there were", s.discardHost},
		{
			"foreign", `address[, schema=][, interface=]`, `what a Cap'n Proto server gives to whoever comes, at "tcp:localhost:7000", "unix:/run/calc.sock" or, with TLS, "calc.example.org:7000": ` +
				`foreign("unix:calc.sock", schema="calc.bin", interface="Calculator"). The schema is what this makes: capnp compile -o- calc.capnp > calc.bin. Instead of the address, what another call has returned`, s.foreignProgram,
		},
		{"as_kind", `x, kind`, `x, which came from a foreign program, as something with the methods of a kind of this world: as_kind(x, "bank.example/account")`, s.asKind},
	}
}

func (s *Session) hosts(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	if s.inTurn {
		return nil, waiting(b.Name())
	}
	var all []rpc.HostInfo
	var err error
	ctx := s.ctx
	s.aside(func() {
		switch {
		case s.Operator != nil:
			all, err = s.Operator.Hosts(ctx)
		case s.Node != nil:
			all, err = s.Node.Hosts(ctx)
		default:
			all, err = look.Awaited(ctx, s.Runtime)
		}
	})
	if err != nil {
		return nil, err
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	list := []starlark.Value{}
	for _, h := range all {
		var trip starlark.Value = starlark.None
		if h.RoundTrip > 0 {
			trip = starlarktime.Duration(h.RoundTrip)
		}
		r := newRecord(
			"Host", starlark.String(h.Host), "Address", orNone(h.Address), "State", starlark.String(look.HostState(h)), "Since", moment(h.Since),
			"RoundTrip", trip, "Waiting", starlark.MakeInt(h.Waiting), "Error", orNone(h.Error),
		)
		r.brief = now
		list = append(list, r)
	}
	return starlark.NewList(list), nil
}

// waiting refuses in a turn what waits for others.
func waiting(what string) error {
	return &caps.Error{Op: what, Code: caps.ErrWouldBlock, Text: "a turn cannot wait for another host; call it before or after atomically"}
}

// askedFor is how long where waits for an answer.
const askedFor = time.Second

func (s *Session) where(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	x, err := oneRef(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	if info, ok := s.ofForeign(x.ref); ok {
		return starlark.String("the foreign program at " + info.Host), nil
	}
	// The host that the Ref came from may have it from a third, and says so if it is asked.
	ctx, cancel := context.WithTimeout(s.ctx, askedFor)
	defer cancel()
	if info, err := s.Runtime.Describe(ctx, x.ref); err == nil && elsewhere(info) {
		return starlark.String(info.Host), nil
	}
	host, err := s.Runtime.Where(s.ctx, x.ref)
	return starlark.String(host), err
}

func (s *Session) discardHost(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "host", &x); err != nil {
		return nil, err
	}
	if r, ok := x.(*record); ok { // a row of hosts()
		x, _, _ = r.Get(starlark.String("host"))
	}
	host, ok := starlark.AsString(x)
	if !ok {
		return nil, errors.New("discard_host: it wants the name of a host, or a row of hosts()")
	}
	var ended int64
	err := s.writing(b.Name(), func() (err error) {
		ended, err = s.World.Activity().DiscardHost(s.ctx, host)
		return err
	})
	return starlark.MakeInt64(ended), err
}

// ofForeign is what is known of a Ref that came from a foreign program; of no other one.
func (s *Session) ofForeign(ref caps.Ref) (sturdy.ObjectInfo, bool) {
	if s.Node == nil {
		return sturdy.ObjectInfo{}, false
	}
	return s.Node.DescribeForeign(ref)
}

// isForeign reports whether it is of something that came from a foreign program.
func isForeign(info sturdy.ObjectInfo) bool { return elsewhere(info) && info.Kind.Version == 0 }

// foreignMethods says what can be called of it.
func foreignMethods(info sturdy.ObjectInfo) string {
	if len(info.Kind.Methods) == 0 {
		return "Nobody has said what interface it has: foreign(x, schema=, interface=) does, or as_kind(x, kind).\n"
	}
	return methodLines(info.Kind.Methods)
}

// foreignProgram is the function foreign.
func (s *Session) foreignProgram(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	var file, name string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "address", &x, "schema?", &file, "interface?", &name); err != nil {
		return nil, err
	}
	switch {
	case s.inTurn:
		return nil, waiting(b.Name())
	case s.Node == nil:
		return nil, s.unconnected(b.Name())
	case file == "" && name != "":
		return nil, errors.New("foreign: the interface is one of a schema: give schema=, too, the file that this makes: " + compiling("calc.capnp"))
	}
	var schema []byte
	if file != "" {
		var err error
		if schema, err = readSchema(file); err != nil {
			return nil, err
		}
	}
	ref, err := s.fromForeign(x)
	if err == nil && file != "" {
		ref, err = s.Node.As(ref, schema, name)
	}
	if err != nil {
		return nil, err
	}
	return s.ref(ref), nil
}

// fromForeign is what is at an address, or was had from there before.
func (s *Session) fromForeign(x starlark.Value) (ref caps.Ref, err error) {
	switch x := x.(type) {
	case *refValue:
		return x.ref, nil
	case starlark.String:
		ctx, done := context.WithTimeout(s.ctx, look.LookWithin)
		defer done()
		s.aside(func() { ref, err = s.Node.Foreign(ctx, string(x), nil) })
		return ref, err
	}
	return ref, fmt.Errorf(`foreign: it wants an address like "tcp:localhost:7000" or "unix:/run/calc.sock", or what came from one; not the %s %s`, x.Type(), repr(x, 40))
}

func (s *Session) asKind(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x *refValue
	var kind string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x, "kind", &kind); err != nil {
		return nil, err
	}
	switch {
	case s.inTurn:
		return nil, waiting(b.Name())
	case s.Node == nil:
		return nil, s.unconnected(b.Name())
	}
	ref, err := s.Node.AsKind(s.ctx, x.ref, kind)
	if err != nil {
		return nil, err
	}
	return s.ref(ref), nil
}

// unconnected is why no other program is reached.
func (s *Session) unconnected(what string) error {
	if s.Writable {
		return fmt.Errorf("%s: this session reaches no other program", what)
	}
	return fmt.Errorf("%s: a session that only reads the files of a world reaches no other program. To reach one, start it with: %s", what, cmp.Or(s.Writing, "repl -w"))
}

// largestSchema is how much of a file is read.
const largestSchema = 16 << 20

// readSchema reads a compiled schema. Its text, which is at hand, is no such thing.
func readSchema(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("foreign: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, largestSchema+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("foreign: %w", err)
	case len(content) > largestSchema:
		return nil, fmt.Errorf("foreign: %s has more than %d bytes, which no schema has", text.Line(file), largestSchema)
	case utf8.Valid(content) && !bytes.ContainsRune(content, 0):
		return nil, fmt.Errorf("foreign: %s is no compiled schema. If it is the text of one, do this, and give the file that it makes: %s", text.Line(file), text.Line(compiling(file)))
	}
	return content, nil
}

// compiling is the command that compiles a schema.
func compiling(file string) string {
	return fmt.Sprintf("capnp compile -o- %s > %s.bin", file, strings.TrimSuffix(file, ".capnp"))
}
