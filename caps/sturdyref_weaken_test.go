package caps

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// newRand is seeded from -seed, or anew.
func newRand(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("repeat with -seed %d", s)
	return rand.New(rand.NewPCG(s, 1))
}

// dumbRef says the same as a SturdyRef, as sets.
type dumbRef struct {
	rights map[Rights]bool
	deep   bool
	only   map[string]bool // nil: every method
	until  time.Time
}

func (d *dumbRef) attenuate(to Rights) {
	for r := range d.rights {
		if to&r == 0 {
			delete(d.rights, r)
		}
	}
	if !d.rights[Write] && !d.rights[Run] && to&Shallow == 0 {
		d.deep = true
	}
}

func (d *dumbRef) allow(names []string) {
	if len(names) == 0 {
		d.attenuate(0)
		return
	}
	left := map[string]bool{}
	for _, n := range names {
		if d.only == nil || d.only[n] {
			left[n] = true
		}
	}
	d.only = left
}

func (d *dumbRef) limit(t time.Time) {
	if t = t.Truncate(time.Second); d.until.IsZero() || t.Before(d.until) {
		d.until = t
	}
}

// says is what d comes to.
func (d *dumbRef) says() string {
	if d.only != nil && len(d.only) == 0 {
		d.attenuate(0)
	}
	var a Authority
	for r := range d.rights {
		a.Rights |= r
	}
	a.Deep = d.deep
	return fmt.Sprintf("%v %q %d", a, slices.Sorted(maps.Keys(d.only)), d.until.Unix())
}

func says(s SturdyRef, from Authority) string {
	a, terms := s.Narrow(from)
	var names []string
	for _, n := range terms.Only {
		names = append(names, n.Name())
	}
	return fmt.Sprintf("%v %q %d", a, names, terms.Until.Unix())
}

// TestWeakeningWeakens: a random row of weakenings comes to what sets come to, each step
// leaves no more than the one before, and the result opens and parses.
func TestWeakeningWeakens(t *testing.T) {
	rnd := newRand(t)
	universe := []string{"get", "set", "a b", "a+b", "%41", "é", "\x00", "..", "/", "Z"}
	for range 2000 {
		from := authorities()[rnd.IntN(10)]
		s, twin := sealed(plainText), &dumbRef{rights: map[Rights]bool{}, deep: from.Deep}
		for _, r := range []Rights{Read, Write, Run} {
			if from.Rights&r != 0 {
				twin.rights[r] = true
			}
		}
		for range rnd.IntN(16) {
			before, next := s, s
			switch rnd.IntN(3) {
			case 0:
				to := Rights(rnd.IntN(16) | rnd.IntN(16))
				twin.attenuate(to)
				next = s.Attenuate(to | Rights(rnd.IntN(16))<<4) // what is no right says nothing
			case 1:
				names := pick(rnd, universe)
				twin.allow(names)
				next = s.Only(named(names)...)
			case 2:
				at := time.Unix(rnd.Int64N(4e9)+1, rnd.Int64N(1e9))
				twin.limit(at)
				next = s.Until(at)
			}
			if s = next; says(s, from) != twin.says() {
				t.Fatalf("%s of %s: %s, the twin says %s", s, from, says(s, from), twin.says())
			}
			if why := stronger(before, s); why != "" {
				t.Fatalf("%s became %s: %s", before, s, why)
			}
		}
		if again, err := ParseSturdyRef(s.Reveal()); err != nil || again.Reveal() != s.Reveal() || !again.Opens(rootBytes()) {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// pick is a part of list, shuffled, with some of it twice.
func pick(rnd *rand.Rand, list []string) (part []string) {
	if rnd.IntN(10) == 0 {
		return nil
	}
	for range 1 + rnd.IntN(2*len(list)) {
		part = append(part, list[rnd.IntN(len(list))])
	}
	return part
}

func named(names []string) (list []Named) {
	for _, n := range names {
		list = append(list, Action(n))
	}
	return list
}

// stronger says what b allows and a does not.
func stronger(a, b SturdyRef) string {
	for _, from := range authorities() {
		before, was := a.Narrow(from)
		after, is := b.Narrow(from)
		switch {
		case after.Rights&^before.Rights != 0 || after.Rights&^from.Rights != 0:
			return "more rights"
		case before.Deep && !after.Deep || from.Deep && !after.Deep:
			return "no longer deep"
		case !was.Until.IsZero() && (is.Until.IsZero() || is.Until.After(was.Until)):
			return "later"
		case len(was.Only) > 0 && len(is.Only) == 0 && after.Rights != 0:
			return "every method"
		}
		for _, n := range is.Only {
			if len(was.Only) > 0 && !slices.Contains(was.Only, n) {
				return "another method"
			}
		}
	}
	return ""
}

func TestListsWithNothingInCommonLeaveNoRights(t *testing.T) {
	s := sealed(plainText).Only(Action("a"), Action("b")).Only(Action("c"))
	for _, s := range []SturdyRef{s, s.Only(Action("a")), s.Attenuate(Read | Write | Run | Shallow), sealed(plainText).Only()} {
		if a, terms := s.Narrow(Full()); a.Rights != 0 || !a.Deep || len(terms.Only) != 0 {
			t.Errorf("%s leaves %s, %v", s, a, terms)
		}
	}
}

func TestNarrowKeepsTheGate(t *testing.T) {
	g := new(Gate)
	for _, s := range []SturdyRef{{}, sealed(plainText), sealed(weakText)} {
		if a, _ := s.Narrow(Authority{Rights: Read, Gate: g}); a.Gate != g {
			t.Errorf("%s loses the gate", s)
		}
	}
}

func TestWhatCannotBeWrittenIsNone(t *testing.T) {
	s := sealed(plainText)
	for range 16 {
		s = s.Attenuate(Read)
	}
	if strings.Count(s.Reveal(), "rights=r/") != 1 {
		t.Error("what is said already is said again")
	}
	for i := range 15 {
		s = s.Until(time.Unix(int64(1000-i), 0))
	}
	if s.IsZero() || s.Until(time.Unix(986, 0)).IsZero() {
		t.Fatal("16 caveats are allowed")
	}
	long := sealed(plainText)
	for i := range 8 {
		long = long.Only(Action(strings.Repeat("a", 230+i)))
	}
	ok := sealed(plainText)
	tooMany := named(manyNames(65))
	for name, none := range map[string]SturdyRef{
		"a 17th caveat":            s.Attenuate(0),
		"another 17th":             s.Only(Action("a")),
		"of the zero, rights":      SturdyRef{}.Attenuate(Read),
		"of the zero, a method":    SturdyRef{}.Only(Action("a")),
		"of the zero, no method":   SturdyRef{}.Only(),
		"of the zero, a time":      SturdyRef{}.Until(time.Unix(1, 0)),
		"65 methods":               ok.Only(tooMany...),
		"an empty name":            ok.Only(Action("a"), Action("")),
		"a nil descriptor":         ok.Only(nil),
		"a long name":              ok.Only(Action(strings.Repeat("a", 257))),
		"a long text":              long.Only(Action(strings.Repeat("b", 200))),
		"the zero time":            ok.Until(time.Time{}),
		"the first second of 1970": ok.Until(time.Unix(0, 999_999_999)),
		"before 1970":              ok.Until(time.Unix(-1, 0)),
		"before the years":         ok.Until(time.Unix(-1<<40, 0)),
	} {
		if !none.IsZero() || none.Reveal() != "" || none.Host() != "" || none.Grant() != 0 || none.Opens(rootBytes()) {
			t.Errorf("%s: %s", name, none)
		}
		if a, terms := none.Narrow(Full()); a.Rights != 0 || !a.Deep || terms.Only != nil {
			t.Errorf("%s leaves %s", name, a)
		}
	}
	if ok.Only(tooMany[:64]...).IsZero() || long.IsZero() || ok.Until(time.Unix(1, 0)).IsZero() {
		t.Error("what is within the limits is none")
	}
	if _, terms := ok.Until(time.Unix(1<<55, 0)).Narrow(Full()); terms.Until.Year() != 9999 {
		t.Errorf("a time beyond all years is %v", terms.Until)
	}
}

func TestForSaysWhomATextIsFor(t *testing.T) {
	s := sealed(plainText).For("ed").Only(Action("get")).For("ian, the intern")
	if _, terms := s.Narrow(Full()); terms.For != "ian, the intern" || len(terms.Only) != 1 {
		t.Errorf("%+v", terms)
	}
	for _, to := range []string{"", "a\nb", "\u202eevil", "\xff", strings.Repeat("a", 257)} {
		if bad := sealed(plainText).For(to); !bad.IsZero() {
			t.Errorf("%q: %v", to, bad)
		}
	}
}
