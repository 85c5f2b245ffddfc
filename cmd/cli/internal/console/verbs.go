package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// verb is a function of the language.
type verb struct {
	name, args, help string
	run              func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)
}

// allVerbs lists the functions in the order in which help shows them.
func (s *Session) allVerbs() []verb {
	return slices.Concat([]verb{
		{"help", "[x]", "what x is and what can be done with it; without x, this list", s.help},
		{"ls", "[x]", "what is in a directory or a collection; without x, in the root", s.ls},
		{"describe", "x", "kind, rights and methods of an object", s.describeVerb},
		{"state", "x", "the state of an object, whatever its rights and kind", s.state},
		{"obj", "id", `an object by its number, obj("7f3a"), with every right`, s.obj},
		{"kinds", "", "the kinds of objects in this world", s.kinds},
		{"same", "a, b", "whether both are the same object, whatever their rights", s.same},
		{"rows", "x", "print all rows of x, up to ten thousand", s.rows},
		{"sum", "xs[, start]", "the sum of what xs holds", s.sum},
		{"top", "[xs][, n][, key]", `the n largest (10) of xs, by a function or a field: top(xs, 3, key="cents"). Without xs, the threads, those first that need somebody`, s.top},
		{"try_", "f", "call f(); returns its value and None, or None and the error", s.try},
		{"each", "xs, f[, parallel=][, timeout=]", `call f for each of xs, 8 at once, each for 30 seconds at most, and list what it returned or how it failed: each(root.peers, lambda r: r.hits.get()). xs is a directory, a dict, or a list of objects or texts`, s.each},
		{"atomically", "f", "call f() in one turn: all of it happens or nothing. f may be called more than once", s.atomically},
		{"put", "dir, name, x", "let x stand under name in a directory", s.put},
		{"mount", "x, path", `let what a text of another host opens, or x, stand under a path from the root: mount("sturdy://…", "peers/b"). What is missing on the way is made, nothing is replaced; drop takes it away`, s.mount},
		{"drop", "dir, name", "take name out of a directory", s.drop},
		{"sync", "", "wait until everything committed is on disk", s.sync},
		{"check", "", "verify everything that is on disk", s.check},
		{"evict", "", "drop from memory every state that can be loaded again", s.evict},
	}, s.grantVerbs(), s.mailVerbs(), s.hostVerbs(), s.threadVerbs())
}

func (s *Session) help(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x?", &x); err != nil {
		return nil, err
	}
	switch x := x.(type) {
	case nil:
		return &page{s.helpAll()}, nil
	case *refValue:
		info, err := s.describe(x.ref)
		if err != nil {
			return nil, err
		}
		return &page{s.helpObject(info)}, nil
	case *methodValue:
		return &page{x.Name() + ": " + x.String()}, nil
	case *starlark.Builtin:
		if p := s.helpVerb(x.Name()); p != nil {
			return p, nil
		}
	case starlark.String:
		return s.helpNamed(string(x))
	case *sendValue:
		return &page{x.String() + ", delivered later: " + cmp.Or(strings.Join(x.AttrNames(), ", "), "what it receives")}, nil
	case starlark.HasAttrs:
		return &page{x.Type() + " with " + strings.Join(x.AttrNames(), ", ")}, nil
	}
	return &page{"a " + x.Type() + " of Starlark"}, nil
}

// helpVerb is the help on a function, nil if there is none of that name.
func (s *Session) helpVerb(name string) starlark.Value {
	for _, v := range s.verbs {
		if v.name == name {
			return &page{fmt.Sprintf("%s(%s): %s", v.name, v.args, v.help)}
		}
	}
	return nil
}

// helpNamed is help("steps"): on the function of that name.
func (s *Session) helpNamed(name string) (starlark.Value, error) {
	if p := s.helpVerb(name); p != nil {
		return p, nil
	}
	verbs := make([]string, len(s.verbs))
	for i, v := range s.verbs {
		verbs[i] = v.name
	}
	if near := text.Near(name, verbs); near != "" {
		return nil, fmt.Errorf("help: there is no function %q; %s?", text.Line(name), near)
	}
	return nil, fmt.Errorf("help: there is no function %q; help() lists them, and help(x) is on an object", text.Line(name))
}

func (s *Session) helpAll() string {
	var rows [][]string
	for _, v := range s.verbs {
		if s.isHere(v.name) {
			rows = append(rows, []string{"  " + v.name + "(" + v.args + ")", v.help})
		}
	}
	start := "root is where everything starts: root.accounts.alice is an entry of an entry.\n"
	if s.Root.IsNull() {
		start = "it is what was restored; restore(\"sturdy://…\") opens what else somebody has given you.\n"
	}
	return start +
		"Behind the dot of anything else stand its methods: alice.deposit(cents=5), alice.attenuate(\"r\"),\n" +
		"and alice.send.deposit(cents=5), which is delivered later.\n" +
		"_ is the last value. The language is Starlark, which looks like Python. A tab completes.\n\n" +
		text.Table(rows, 0) + s.helpAway()
}

func (s *Session) helpObject(info sturdy.ObjectInfo) string {
	what := fmt.Sprintf("%s, version %d; this reference carries %s\n", info.Kind.Name, info.Kind.Version, info.Rights)
	switch {
	case isForeign(info):
		what = fmt.Sprintf("%s of the foreign program at %s; this reference carries %s\n", info.Kind.Name, info.Host, info.Rights) + foreignMethods(info)
	case info.Kind.Name == look.Directory:
		what += `x.name and x["name"] are entries; put, drop and ls work on it; for name in x goes through it.` + "\n"
	case look.IsCollection(info.Kind.Name):
		what += "x[key] is a row, for k, v in x.range(from, to) goes through rows.\n" + methodLines(info.Kind.Methods)
	default:
		what += methodLines(info.Kind.Methods)
	}
	if !info.Kind.Known {
		what += "This program does not know the kind: state(x) works, calls do not.\n"
	}
	return what
}

// ls lists a directory as a table, and a collection as its rows.
func (s *Session) ls(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x *refValue
	err := starlark.UnpackArgs(b.Name(), args, kwargs, "x?", &x)
	if err == nil && x == nil {
		x, err = s.home()
	}
	if err != nil {
		return nil, err
	}
	info, err := s.describe(x.ref)
	switch {
	case err != nil:
		return nil, err
	case look.IsCollection(info.Kind.Name):
		return &rangeValue{x, look.RowCursor{Coll: x.ref}}, nil
	case info.Kind.Name != look.Directory:
		return nil, fmt.Errorf("ls: a %s is neither directory nor collection; help(x) shows its methods", look.Short(info.Kind.Name))
	}
	list := []starlark.Value{}
	for n, err := range look.Names(s.ctx, x.ref) {
		if err != nil {
			return nil, err
		}
		list = append(list, newRecord("Name", starlark.String(n.Name), "Object", s.ref(n.Ref)))
	}
	return starlark.NewList(list), nil
}

func (s *Session) describeVerb(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	_, info, err := s.described(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	var methods []starlark.Value
	for _, m := range info.Kind.Methods {
		methods = append(methods, starlark.String(m.Needs.String()+": "+look.Typed(m)))
	}
	var allows, grants []starlark.Value
	for _, name := range info.Allows {
		allows = append(allows, starlark.String(name))
	}
	for _, g := range info.Grants {
		grants = append(grants, starlark.String(look.GrantName(g)))
	}
	r := newRecord(
		"ID", starlark.String(info.ID), "Kind", starlark.String(info.Kind.Name), "Version", starlark.MakeInt(info.Kind.Version),
		"Rights", starlark.String(info.Rights.String()), "Methods", starlark.NewList(methods), "Allows", starlark.NewList(allows),
	)
	if elsewhere(info) { // its host does not say more
		return r, nil
	}
	r.add("Grants", starlark.NewList(grants))
	r.add("Known", starlark.Bool(info.Kind.Known))
	r.add("LSN", starlark.MakeUint64(info.LSN))
	r.add("Bytes", starlark.MakeInt(info.Bytes))
	r.add("State", starlark.String(info.Kind.State.String()))
	return r, nil
}

func (s *Session) state(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	x, info, err := s.described(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	if isForeign(info) {
		return nil, fmt.Errorf("state: %s is of a foreign program, which alone has its state", x)
	}
	if elsewhere(info) && info.Host != s.World.Host() {
		return nil, s.notOverWire(b.Name())
	}
	v, err := s.World.State(s.ctx, x.ref)
	if err != nil {
		return nil, err
	}
	if elsewhere(info) {
		return s.shapeless(v), nil
	}
	return s.fromValue(v, info.Kind.State), nil
}

// shapeless is a state of which it is not known which maps in it are structs; it is one itself.
func (s *Session) shapeless(v caps.Value) starlark.Value {
	fields, ok := v.Any().([]caps.Entry)
	r := &record{}
	for _, f := range fields {
		name, named := f.Key.Any().(string)
		if ok = ok && named; ok {
			r.add(name, s.fromValue(f.Val, anything()))
		}
	}
	if !ok {
		return s.fromValue(v, anything())
	}
	return r
}

func (s *Session) obj(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "id", &id); err != nil {
		return nil, err
	}
	ref, err := s.World.Object(s.ctx, id)
	if err != nil {
		return nil, err
	}
	return s.ref(ref), nil
}

func (s *Session) kinds(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	if s.inTurn {
		return nil, errors.New("kinds() counts objects outside of turns; call it before atomically")
	}
	ks, err := s.Runtime.Kinds(s.ctx)
	if err != nil {
		return nil, err
	}
	list := []starlark.Value{}
	for _, k := range look.Listed(ks) {
		list = append(list, newRecord("Name", starlark.String(k.Name), "Version", starlark.MakeInt(k.Version),
			"Objects", starlark.MakeInt64(k.Objects), "Known", starlark.Bool(k.Known)))
	}
	return starlark.NewList(list), nil
}

func (s *Session) same(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y *refValue
	err := starlark.UnpackArgs(b.Name(), args, kwargs, "a", &x, "b", &y)
	if err != nil {
		return nil, err
	}
	return starlark.Bool(x.ref.Same(y.ref)), nil
}

func (s *Session) put(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var dir, x *refValue
	var name string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "dir", &dir, "name", &name, "x", &x); err != nil {
		return nil, err
	}
	if err := s.lasting(dir, x); err != nil {
		return nil, err
	}
	return starlark.None, s.writing("put", func() error { return sturdy.Directory{Ref: dir.ref}.Put(s.ctx, name, x.ref) })
}

// drop refuses a name that is not there, which Delete would not: a typing error should show.
func (s *Session) drop(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var dir *refValue
	var name string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "dir", &dir, "name", &name); err != nil {
		return nil, err
	}
	if _, err := look.Get(s.ctx, dir.ref, name); errors.Is(err, sturdy.ErrNoName) {
		return nil, err
	}
	return starlark.None, s.writing("drop", func() error { return sturdy.Directory{Ref: dir.ref}.Delete(s.ctx, name) })
}

// outside runs what works on the whole world and in no turn.
func (s *Session) outside(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple, run func(context.Context) error) (starlark.Value, error) {
	if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	if s.inTurn {
		return nil, &caps.Error{Op: b.Name(), Code: caps.ErrWouldBlock, Text: "a turn cannot wait; call it before or after atomically"}
	}
	return starlark.None, run(s.ctx)
}

func (s *Session) sync(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return s.outside(b, args, kwargs, s.Runtime.Sync)
}

func (s *Session) evict(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return s.outside(b, args, kwargs, func(context.Context) error { s.Runtime.Evict(); return nil })
}

func (s *Session) check(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var report *page
	_, err := s.outside(b, args, kwargs, func(ctx context.Context) error {
		found, err := look.Check(ctx, s.Runtime, func(int64) {})
		report = &page{look.Findings(found)}
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}
