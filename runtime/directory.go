package sturdy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Directory is a map from names to capabilities: an ordinary object, and the form of the
// root. What takes a ctx can be called from a turn, which it joins, and from outside.
//
// A grant's list of methods calls what it does get, put, delete, len and, for All, list. A
// Directory that was found as a Ref is Directory{Ref: ref}; so is a Map, a List or a Grant.
type Directory struct{ caps.Ref }

// What can be asked of a directory.
const (
	dirGet    caps.Method[string, caps.Ref]    = "get"
	dirPut    caps.Command[dirEntry]           = "put"
	dirDelete caps.Command[string]             = "delete"
	dirList   caps.Method[dirPage, []dirEntry] = "list"
	dirLen    caps.Query[int64]                = "len"
)

// dirEntry is one row of a directory.
type dirEntry struct {
	Name string
	Ref  caps.Ref
}

// dirPage asks for names from From on, at most Limit of them.
type dirPage struct {
	From  string
	Limit int64
}

// directory is the state. Entries are elements, so that a directory may be large.
type directory struct{ Len int64 }

func newDirectoryKind() *KindOf[directory] {
	return Define("sturdy/directory",
		Method(dirGet, (*directory).get),
		Method(dirList, (*directory).list),
		Query(dirLen, (*directory).len),
		Command(dirPut, (*directory).put),
		Command(dirDelete, (*directory).delete),
	)
}

// NewDirectory makes an empty directory.
func NewDirectory(t *WriteTurn) Directory { return Directory{t.r.vat.rt.dirs.New(t, directory{})} }

// Get returns what stands under name; ErrNoName if nothing does. It needs r.
func (d Directory) Get(ctx context.Context, name string) (caps.Ref, error) {
	return dirGet.Call(ctx, d.Ref, name)
}

// Put sets what stands under name, which must not be empty. It needs w.
func (d Directory) Put(ctx context.Context, name string, ref caps.Ref) error {
	return dirPut.Call(ctx, d.Ref, dirEntry{name, ref})
}

// Delete removes name, if it is there. It needs w.
func (d Directory) Delete(ctx context.Context, name string) error {
	return dirDelete.Call(ctx, d.Ref, name)
}

// Len is the number of names. It needs r.
func (d Directory) Len(ctx context.Context) (int, error) {
	n, err := dirLen.Call(ctx, d.Ref)
	return int(n), err
}

// All yields names and what stands under them, in order of name. It needs r.
func (d Directory) All(t Turn) iter.Seq2[string, caps.Ref] {
	return func(yield func(string, caps.Ref) bool) {
		const page = 256
		r, from := t.reads(), ""
		_, via, _ := r.vat.rt.open(d.Ref)
		r.depth++ // see openColl
		for {
			rows, err := dirList.Call(t, d.Ref, dirPage{from, page})
			if err != nil {
				panic(unwind{err})
			}
			for _, e := range rows {
				if err := r.alive(via); err != nil {
					panic(unwind{err})
				}
				if !yield(e.Name, e.Ref) {
					r.depth--
					return
				}
				from = e.Name + "\x00"
			}
			if len(rows) < page {
				r.depth--
				return
			}
		}
	}
}

// Ensure returns what stands under name, and makes it first if nothing does. It needs r, and
// w if it has to make it. Of several that try at the same time one makes it.
func (d Directory) Ensure(ctx context.Context, name string, make func(*WriteTurn) caps.Ref) (caps.Ref, error) {
	ref, err := d.Get(ctx, name)
	if !errors.Is(err, ErrNoName) {
		return ref, err
	}
	rt, err := runtimeOf(d.Ref)
	if err != nil {
		return ref, err
	}
	err = rt.Update(ctx, func(t *WriteTurn) (err error) {
		if ref, err = d.Get(t, name); !errors.Is(err, ErrNoName) {
			return err
		}
		if err := t.mayPut(d); err != nil {
			return err
		}
		ref = make(t)
		return d.Put(t, name, ref)
	})
	if err != nil {
		return caps.Ref{}, err
	}
	return ref, nil
}

// mayPut reports why d may not be put into, before anything is made for it.
func (t *WriteTurn) mayPut(d Directory) error {
	h, a, _ := t.r.vat.rt.open(d.Ref)
	return t.r.allows(h, a, t.r.vat.rt.dirs.def, string(dirPut), caps.Write)
}

func (d *directory) get(t *ReadTurn, name string) (caps.Ref, error) {
	rec, ok := t.element(t.self, name)
	if !ok {
		return caps.Ref{}, d.noName(t, name)
	}
	return decodeElement[caps.Ref](t.vat.rt, elemTypeOf[caps.Ref](t.vat.rt), rec, caps.Full()), nil
}

// noName says what is near, if anything is.
func (d *directory) noName(t *ReadTurn, name string) error {
	text, seen := fmt.Sprintf("nothing stands under %q", name), 0
	t.scan(t.self, "", "", func(has string, _ objstore.Record) bool {
		if near(has, name) || strings.EqualFold(has, name) {
			text += fmt.Sprintf("; %q?", has)
			return false
		}
		seen++
		return seen < 100
	})
	return &caps.Error{Op: "sturdy/directory.get", Object: t.self.name(), Code: ErrNoName, Text: text}
}

func (d *directory) list(t *ReadTurn, p dirPage) (rows []dirEntry, err error) {
	if p.Limit <= 0 || p.Limit > maxRows {
		p.Limit = maxRows
	}
	et := elemTypeOf[caps.Ref](t.vat.rt)
	t.scan(t.self, p.From, "", func(name string, rec objstore.Record) bool {
		rows = append(rows, dirEntry{name, decodeElement[caps.Ref](t.vat.rt, et, rec, caps.Full())})
		return int64(len(rows)) < p.Limit
	})
	return rows, nil
}

func (d *directory) len(*ReadTurn) (int64, error) { return d.Len, nil }

func (d *directory) put(t *WriteTurn, e dirEntry) error {
	if e.Name == "" {
		return &caps.Error{Code: caps.ErrBadArgument, Text: "a name must not be empty"}
	}
	if e.Ref.IsNull() {
		return &caps.Error{Code: caps.ErrBadArgument, Text: "a null reference cannot stand under a name; use Delete to take the name away"}
	}
	h := t.r.self
	if _, ok := t.r.element(h, e.Name); !ok {
		d.Len++
	}
	t.setElement(h, e.Name, encodeElement(t, elemTypeOf[caps.Ref](t.r.vat.rt), e.Ref, caps.Full()))
	return nil
}

func (d *directory) delete(t *WriteTurn, name string) error {
	if _, ok := t.r.element(t.r.self, name); ok {
		d.Len--
		t.dropElement(t.r.self, name)
	}
	return nil
}
