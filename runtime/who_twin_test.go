package sturdy_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// whoTwin answers the questions about who holds what from the states of all objects, one by
// one: what the index must not differ from.
type whoTwin struct {
	t     *testing.T
	w     *runtimetest.World
	kinds map[caps.Ref]string
	ids   map[caps.Ref]string
	holds []hold
	// objects are the keys of kinds in order.
	objects []caps.Ref
}

// hold is one reference somewhere.
type hold struct {
	by  caps.Ref
	in  string
	ref caps.Ref
}

// spot is where references to one object are held.
type spot struct{ target, by, in string }

func recompute(t *testing.T, w *runtimetest.World) *whoTwin {
	m := &whoTwin{t: t, w: w, kinds: map[caps.Ref]string{}, ids: map[caps.Ref]string{}}
	for ref, err := range w.Objects(t.Context()) {
		must(t, err)
		info := m.describe(ref)
		m.kinds[ref], m.objects = info.Kind.Name, append(m.objects, ref)
		state, err := w.State(t.Context(), ref)
		must(t, err)
		m.walk(ref, "", state)
		switch info.Kind.Name {
		case "sturdy/map", "sturdy/list", "sturdy/cell":
			rows, err := untypedRange.Call(t.Context(), ref, rangeQuery{})
			must(t, err)
			for _, row := range rows {
				m.walk(ref, fmt.Sprint(row.Key.Any()), row.Val)
			}
		case "sturdy/directory":
			must(t, w.View(t.Context(), func(tn *sturdy.ReadTurn) error {
				for name, held := range (sturdy.Directory{Ref: ref}).All(tn) {
					m.add(ref, name, held)
				}
				return nil
			}))
		}
	}
	return m
}

func (m *whoTwin) describe(ref caps.Ref) sturdy.ObjectInfo {
	info, err := m.w.Describe(m.t.Context(), ref)
	must(m.t, err)
	m.ids[ref] = info.ID
	return info
}

func (m *whoTwin) walk(by caps.Ref, in string, v caps.Value) {
	switch v := v.Any().(type) {
	case caps.Ref:
		m.add(by, in, v)
	case []caps.Value:
		for _, e := range v {
			m.walk(by, in, e)
		}
	case []caps.Entry:
		for _, e := range v {
			m.walk(by, in, e.Val)
		}
	}
}

func (m *whoTwin) add(by caps.Ref, in string, ref caps.Ref) {
	if h := (hold{by, in, ref}); !ref.IsNull() && !slices.Contains(m.holds, h) {
		m.describe(ref)
		m.holds = append(m.holds, h)
	}
}

func (m *whoTwin) spots() map[spot]bool {
	all := map[spot]bool{}
	for _, h := range m.holds {
		all[spot{m.ids[h.ref], m.ids[h.by], h.in}] = true
		for _, n := range m.under(h.ref) {
			all[spot{strconv.FormatUint(n, 16), m.ids[h.by], h.in}] = true
		}
	}
	return all
}

// alive reports whether calls come through ref.
func (m *whoTwin) alive(ref caps.Ref) bool {
	return m.describe(ref).Rights.Gate.Alive(nil) == nil
}

// under returns the numbers of the grants that ref itself came through.
func (m *whoTwin) under(ref caps.Ref) []uint64 { return m.describe(ref).Rights.Gate.Grants() }

func (m *whoTwin) isGrant(h hold) bool { return m.kinds[h.by] == "sturdy/grant" && h.in == "" }

// number is the object number of ref.
func (m *whoTwin) number(ref caps.Ref) uint64 {
	n, err := strconv.ParseUint(m.ids[ref], 16, 64)
	must(m.t, err)
	return n
}

// checkHolders compares Holders of every object, and since when.
func (m *whoTwin) checkHolders(since map[spot]time.Time) {
	m.t.Helper()
	for of := range m.kinds {
		want := map[hold]bool{}
		for _, h := range m.holds {
			if h.ref.Same(of) {
				want[h] = true
			}
		}
		last := uint64(0)
		for got, err := range m.w.Holders(m.t.Context(), of) {
			must(m.t, err)
			h := hold{got.By, got.In, got.Ref}
			if !want[h] {
				m.t.Errorf("Holders(%v) says %v[%q] holds %v", of, got.By, got.In, got.Ref)
			}
			delete(want, h)
			if n := m.number(got.By); n < last {
				m.t.Errorf("Holders(%v): %x comes after %x", of, n, last)
			} else {
				last = n
			}
			if (got.Grant != nil) != m.isGrant(h) {
				m.t.Errorf("Holders(%v): %v with Grant %v", of, got.By, got.Grant)
			}
			if at, ok := since[spot{m.ids[of], m.ids[got.By], got.In}]; ok && !at.IsZero() && !at.Equal(got.Since) {
				m.t.Errorf("Holders(%v): %v[%q] since %v, want %v", of, got.By, got.In, got.Since, at)
			}
		}
		for h := range want {
			m.t.Errorf("Holders(%v) leaves out %v[%q], which holds %v", of, h.by, h.in, h.ref)
		}
	}
}

// below returns what dies with grant g.
func (m *whoTwin) below(g caps.Ref) map[hold]bool {
	grants, found := map[uint64]bool{m.number(g): true}, map[hold]bool{}
	for more := true; more; {
		more = false
		for _, h := range m.holds {
			if found[h] || !slices.ContainsFunc(m.under(h.ref), func(n uint64) bool { return grants[n] }) || !m.alive(h.ref) {
				continue
			}
			if m.isGrant(h) {
				info, err := (sturdy.Grant{Ref: h.by}).Info(m.t.Context())
				must(m.t, err)
				if !info.Alive {
					continue
				}
				grants[m.number(h.by)] = true
			}
			found[h], more = true, true
		}
	}
	return found
}

// checkBreaks compares Breaks of every grant.
func (m *whoTwin) checkBreaks() {
	m.t.Helper()
	for g, kind := range m.kinds {
		if kind != "sturdy/grant" {
			continue
		}
		want := m.below(g)
		for got, err := range m.w.Breaks(m.t.Context(), sturdy.Grant{Ref: g}) {
			must(m.t, err)
			h := hold{got.By, got.In, got.Ref}
			if !want[h] {
				m.t.Errorf("Breaks(%v) says %v[%q], which holds %v, or says so twice", g, got.By, got.In, got.Ref)
			}
			delete(want, h)
		}
		for h := range want {
			m.t.Errorf("Breaks(%v) leaves out %v[%q], which holds %v", g, h.by, h.in, h.ref)
		}
	}
}

// distances is how many steps each object is away from the root.
func (m *whoTwin) distances() map[string]int {
	root := m.w.Root().Ref
	far, queue := map[string]int{m.describe(root).ID: 0}, []string{m.ids[root]}
	for i := 0; i < len(queue); i++ {
		for _, h := range m.holds {
			if m.ids[h.by] != queue[i] || m.isGrant(h) || !m.alive(h.ref) {
				continue
			}
			if id := m.ids[h.ref]; far[id] == 0 && id != queue[0] {
				far[id] = far[queue[i]] + 1
				queue = append(queue, id)
			}
		}
	}
	return far
}

// checkPaths compares the length of PathTo every object, and each step of it.
func (m *whoTwin) checkPaths() {
	m.t.Helper()
	far := m.distances()
	for of := range m.kinds {
		path, err := m.w.PathTo(m.t.Context(), of)
		want, reached := far[m.ids[of]]
		if !reached {
			if !errors.Is(err, sturdy.ErrNoName) {
				m.t.Errorf("PathTo(%v) = %s, %v; nothing leads there", of, sturdy.PathText(path), err)
			}
			continue
		}
		must(m.t, err)
		at := m.w.Root().Ref
		for _, h := range path {
			if !h.By.Same(at) || !slices.Contains(m.holds, hold{h.By, h.In, h.Ref}) {
				m.t.Errorf("PathTo(%v) = %s: %v does not hold %v", of, sturdy.PathText(path), h.By, h.Ref)
			}
			at = h.Ref
		}
		if len(path) != want || !at.Same(of) {
			m.t.Errorf("PathTo(%v) = %s; the shortest has %d steps", of, sturdy.PathText(path), want)
		}
	}
}

// checkGrants compares the lists of grants.
func (m *whoTwin) checkGrants() {
	m.t.Helper()
	want := map[string][]string{}
	for _, h := range m.holds {
		if m.isGrant(h) {
			want[m.ids[h.ref]] = append(want[m.ids[h.ref]], m.ids[h.by])
			want[""] = append(want[""], m.ids[h.by])
		}
	}
	m.kinds[caps.Ref{}] = ""
	m.ids[caps.Ref{}] = ""
	for of := range m.kinds {
		var got []string
		for info, err := range m.w.Grants(m.t.Context(), of) {
			must(m.t, err)
			got = append(got, info.ID)
		}
		if !slices.Equal(got, want[m.ids[of]]) {
			m.t.Errorf("Grants(%v) = %v; want %v", of, got, want[m.ids[of]])
		}
	}
	delete(m.kinds, caps.Ref{})
}

// follow brings since up to date with what is held now.
func (m *whoTwin) follow(since map[spot]time.Time, now time.Time) {
	spots := m.spots()
	maps.DeleteFunc(since, func(s spot, _ time.Time) bool { return !spots[s] })
	for s := range spots {
		if _, ok := since[s]; !ok {
			since[s] = now.Truncate(time.Second)
		}
	}
}

// adopt takes since from the index; what it does not tell is zero.
func (m *whoTwin) adopt(since map[spot]time.Time) {
	for s := range m.spots() {
		since[s] = time.Time{}
	}
	for of := range m.kinds {
		for h, err := range m.w.Holders(m.t.Context(), of) {
			must(m.t, err)
			since[spot{m.ids[of], m.ids[h.By], h.In}] = h.Since
		}
	}
}
