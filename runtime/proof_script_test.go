package sturdy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// The metamorphic proof: one random script has the same results on a plain Go model, on a
// world in memory that crashes, and on a world on disk that is closed and opened.
//
// A script is a list of turns, each a list of steps that name variables: "v0", "v1", ... in
// the root directory hold capabilities. A step that fails with an error value is noted and
// the turn goes on; what unwinds a turn ends it.

const scriptVars = 6

// step is one thing that a turn does.
type step struct {
	Do   string
	V, W int // variables
	N    int64
}

// scripted is one turn, and what is done to the world after it.
type scripted struct {
	Steps []step
	End   string // "commit", "abort" or "panic"
	Mode  string // "", "relaxed" or "view"
	After string // "", "evict", "reopen", "crash" or "migrate"
}

func stepNames() []string {
	return []string{
		"new thing", "new map", "new list", "new cell", "new directory", "attenuate", "attenuate",
		"plus", "plus", "plus", "sum", "say", "said", "mess", "untyped plus",
		"map put", "map put", "map put", "map delete", "map get", "map range", "append", "list set", "list at", "list range",
		"cell set", "cell get", "put", "put", "get", "delete", "list names",
	}
}

// randomScript makes n turns.
func randomScript(chance *rand.Rand, n int) (script []scripted) {
	names := stepNames()
	migrated := false
	for range n {
		turn := scripted{End: "commit"}
		switch chance.IntN(10) {
		case 0:
			turn.End = "abort"
		case 1:
			turn.End = "panic"
		}
		switch chance.IntN(6) {
		case 0:
			turn.Mode = "relaxed"
		case 1:
			turn.Mode = "view"
		}
		after := []string{"evict", "reopen", "crash", "migrate"}
		if i := chance.IntN(40); i < len(after) && (i < 3 || !migrated) {
			turn.After = after[i]
			migrated = migrated || i == 3
		}
		for range 1 + chance.IntN(5) {
			turn.Steps = append(turn.Steps, step{names[chance.IntN(len(names))], chance.IntN(scriptVars), chance.IntN(scriptVars), chance.Int64N(8)})
		}
		script = append(script, turn)
	}
	return script
}

func TestScriptsHaveTheSameResultsEverywhere(t *testing.T) {
	seed := seedOf(t)
	for i := range 3 {
		chance := rand.New(rand.NewPCG(seed, uint64(i)))
		script := randomScript(chance, ops(150))
		if diff := compare(t, script); diff != "" {
			script = shrink(t, script)
			for _, turn := range script {
				t.Logf("%+v", turn)
			}
			t.Fatalf("first: %s\nshrunk: %s", diff, compare(t, script))
		}
	}
}

// compare plays the script on all players and returns the first difference.
func compare(t *testing.T, script []scripted) (diff string) {
	model := newModel()
	memory := &worldPlayer{w: runtimetest.Open(t, thingKind(1)), crash: true}
	disk := &worldPlayer{dir: t.TempDir() + "/world"}
	disk.open(t)
	defer disk.close()
	defer memory.close()
	for i, turn := range script {
		want := model.play(turn)
		for name, p := range map[string]*worldPlayer{"memory": memory, "disk": disk} {
			if got := p.play(turn); got != want {
				return fmt.Sprintf("turn %d: %+v\nmodel: %s\n%s: %s", i, turn, want, name, got)
			}
			p.after(t, turn.After)
		}
		if turn.After == "" && i != len(script)-1 {
			continue
		}
		want = model.dump()
		for name, p := range map[string]*worldPlayer{"memory": memory, "disk": disk} {
			if got := p.dump(); got != want {
				return fmt.Sprintf("after turn %d and %q:\nmodel: %s\n%s: %s", i, turn.After, want, name, got)
			}
		}
	}
	return ""
}

// shrink leaves out turns, and steps of turns, as long as there is a difference, for a few
// seconds.
func shrink(t *testing.T, script []scripted) []scripted {
	end := time.Now().Add(10 * time.Second)
	for size := len(script) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(script) && time.Now().Before(end); {
			if less := slices.Delete(slices.Clone(script), at, at+size); compare(t, less) != "" {
				script = less
			} else {
				at += size
			}
		}
	}
	for i := range script {
		for at := 0; at < len(script[i].Steps) && time.Now().Before(end); {
			less := slices.Clone(script)
			less[i].Steps = slices.Delete(slices.Clone(less[i].Steps), at, at+1)
			if compare(t, less) != "" {
				script = less
			} else {
				at++
			}
		}
	}
	return script
}

// A thing is an account whose second version counts in tenths and has another field.
const (
	thPlus caps.Method[int64, int64] = "plus"
	thSum  caps.Query[int64]         = "sum"
	thSay  caps.Command[string]      = "say"
	thSaid caps.Query[[]string]      = "said"
	thMess caps.Command[int64]       = "mess"

	thPlusUntyped caps.Method[caps.Value, caps.Value] = "plus"
)

type thing1 struct {
	N     int64
	Lines []string
}

func (s *thing1) plus(_ *sturdy.WriteTurn, n int64) (int64, error) { s.N += n; return s.N, nil }
func (s *thing1) sum(*sturdy.ReadTurn) (int64, error)              { return s.N, nil }
func (s *thing1) say(_ *sturdy.WriteTurn, l string) error          { s.Lines = append(s.Lines, l); return nil }
func (s *thing1) said(*sturdy.ReadTurn) ([]string, error)          { return s.Lines, nil }
func (s *thing1) mess(_ *sturdy.WriteTurn, n int64) error          { s.N += n; return errMess }

type thing2 struct {
	Tenths int64
	Said   map[int]string
}

func (s *thing2) plus(_ *sturdy.WriteTurn, n int64) (int64, error) {
	s.Tenths += 10 * n
	return s.Tenths / 10, nil
}
func (s *thing2) sum(*sturdy.ReadTurn) (int64, error) { return s.Tenths / 10, nil }
func (s *thing2) say(_ *sturdy.WriteTurn, l string) error {
	if s.Said == nil {
		s.Said = map[int]string{}
	}
	s.Said[len(s.Said)] = l
	return nil
}

func (s *thing2) said(*sturdy.ReadTurn) (lines []string, _ error) {
	for i := range len(s.Said) {
		lines = append(lines, s.Said[i])
	}
	return lines, nil
}
func (s *thing2) mess(_ *sturdy.WriteTurn, n int64) error { s.Tenths += 10 * n; return errMess }

// thingKind is the kind of things, in one of two versions.
func thingKind(version int) sturdy.Kind {
	if version == 1 {
		return sturdy.Define("proof/thing",
			sturdy.Method(thPlus, (*thing1).plus), sturdy.Query(thSum, (*thing1).sum), sturdy.Command(thSay, (*thing1).say),
			sturdy.Query(thSaid, (*thing1).said), sturdy.Command(thMess, (*thing1).mess))
	}
	return sturdy.Define("proof/thing",
		sturdy.Method(thPlus, (*thing2).plus), sturdy.Query(thSum, (*thing2).sum), sturdy.Command(thSay, (*thing2).say),
		sturdy.Query(thSaid, (*thing2).said), sturdy.Command(thMess, (*thing2).mess),
		sturdy.From(1, func(old thing1) (thing2, error) {
			s := thing2{10 * old.N, map[int]string{}}
			for i, l := range old.Lines {
				s.Said[i] = l
			}
			return s, nil
		}))
}
