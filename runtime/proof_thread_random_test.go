package sturdy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
	"github.com/sturdyrt/sturdy/runtime/runtimetest"
)

// stage is a world with probes that play, and an operator that plays nothing but sends.
type stage struct {
	*runtimetest.World
	t        *testing.T
	out      *outer
	names    []string
	canceled map[string]bool // whom the operator may have canceled
}

// newStage lets each script be played by a probe of its own. All know all.
func newStage(t *testing.T, checked bool, scripts ...string) *stage {
	out := newOuter()
	w := runtimetest.OpenOptions(t, sturdy.Options{Kinds: []sturdy.Kind{out.kind}, Checked: checked})
	s := &stage{World: w, t: t, out: out, canceled: map[string]bool{}}
	must(t, s.begin(scripts))
	return s
}

func (s *stage) begin(scripts []string) error {
	s.names = nil
	return s.Update(context.Background(), func(tn *sturdy.WriteTurn) error {
		s.names = s.names[:0]
		op := s.out.kind.New(tn, probe{Name: "op"})
		all, threads := []caps.Ref{op}, []caps.Ref{}
		for i, script := range scripts {
			name := "p" + strconv.Itoa(i)
			p := s.out.kind.New(tn, probe{Name: name, Script: script})
			th := tn.Spawn(probePlay.To(p), sturdy.Domain{})
			all, threads, s.names = append(all, p), append(threads, th.Ref), append(s.names, name)
			if err := s.Root().Put(tn, name, p); err != nil {
				return err
			}
			if err := s.Root().Put(tn, name+" thread", th.Ref); err != nil {
				return err
			}
		}
		for _, p := range all {
			for _, th := range threads {
				if err := probeMeet.Call(tn, p, th); err != nil {
					return err
				}
			}
		}
		return s.Root().Put(tn, "op", op)
	})
}

func (s *stage) at(name string) caps.Ref {
	s.t.Helper()
	ref, err := s.Root().Get(s.t.Context(), name)
	must(s.t, err)
	return ref
}

func (s *stage) thread(i int) sturdy.ThreadRef {
	return sturdy.ThreadRef{Ref: s.at(s.names[i] + " thread")}
}

// upset lets one thing happen that should change nothing.
func (s *stage) upset(chance *rand.Rand) {
	ctx, i := s.t.Context(), chance.IntN(len(s.names))
	switch chance.IntN(14) {
	case 0, 1:
		s.Crash()
	case 2:
		s.Reopen()
	case 3:
		fillUp(s.World)
		s.doAnything(chance)
		s.Pass(time.Duration(chance.IntN(90)) * time.Minute)
		_ = s.Sync(ctx)
		makeRoom(s.t, s.World)
	case 4:
		left := chance.IntN(20)
		s.Disk().Hook(func(string, string, int) (int, error) {
			if left--; left < 0 {
				return 0, syscall.EIO
			}
			return 0, nil
		})
		s.doAnything(chance)
		s.Pass(time.Hour)
		_, _ = s.Runtime.Settle(ctx)
		s.Crash()
	case 5:
		s.Advance(time.Duration(chance.IntN(90)) * time.Minute)
	case 6:
		_ = s.thread(i).Pause(ctx)
	case 7:
		_ = s.thread(i).Resume(ctx)
	case 8:
		if chance.IntN(4) == 0 {
			s.canceled[s.names[i]] = true
			_ = s.thread(i).Cancel(ctx, "the operator wants it")
		}
	case 9:
		s.Settle()
	default:
		s.doAnything(chance)
	}
}

// doAnything sends something, and waits for nothing.
func (s *stage) doAnything(chance *rand.Rand) {
	op, err := s.Root().Get(sturdy.Relaxed(s.t.Context()), "op")
	if err == nil {
		_ = probeTell.Call(sturdy.Relaxed(s.t.Context()), op, int64(chance.IntN(len(s.names))))
	}
}

// finish lets everything come to its end: nobody is paused, the disk works, nobody waits for
// a message in vain.
func (s *stage) finish() {
	ctx := s.t.Context()
	s.out.heal()
	s.Disk().Hook(nil)
	for range 40 {
		s.Advance(1000 * time.Hour)
		ended := true
		for i := range s.names {
			info, err := s.thread(i).Info(ctx)
			must(s.t, err)
			switch {
			case info.State == sturdy.ThreadDone, info.State == sturdy.ThreadCanceled:
				continue
			case info.Paused, info.State == sturdy.ThreadParked && strings.Contains(info.Error.Text, "step K"):
				must(s.t, s.thread(i).Resume(ctx))
			case info.State == sturdy.ThreadWaiting:
				must(s.t, probeTell.Call(ctx, s.at("op"), int64(i)))
			case info.State != sturdy.ThreadRunning:
				continue
			}
			ended = false
		}
		if ended {
			return
		}
	}
	s.t.Error("they come to no end")
}

// check compares everybody with what his script says.
func (s *stage) check(scripts []string) {
	keys := map[string]bool{}
	for i, script := range scripts {
		info, err := s.thread(i).Info(s.t.Context())
		must(s.t, err)
		state := s.checkOne(s.at(s.names[i]), s.names[i], script, info, keys)
		for k := 0; k < len(state.Kids); k += 2 {
			kid, err := probeState.Call(s.t.Context(), state.Kids[k])
			must(s.t, err)
			info, err := sturdy.ThreadRef{Ref: state.Kids[k+1]}.Info(s.t.Context())
			must(s.t, err)
			s.checkOne(state.Kids[k], kid.Name, kid.Script, info, keys)
			if info.Parent == "" {
				s.t.Error("a child has no parent")
			}
		}
	}
}

func (s *stage) checkOne(p caps.Ref, name, script string, info sturdy.ThreadInfo, keys map[string]bool) probe {
	state, err := probeState.Call(s.t.Context(), p)
	must(s.t, err)
	twin := &probeTwin{t: s.t, who: name, log: state.Log, keys: keys, out: s.out, got: map[string]int64{}}
	done, canceled := twin.plays(script)
	switch {
	case len(twin.kids)*2 != len(state.Kids):
		s.t.Errorf("%s has %d children", name, len(state.Kids)/2)
	case info.State == sturdy.ThreadDone && !done, info.State == sturdy.ThreadParked && !strings.ContainsAny(script, "FXK"),
		info.State == sturdy.ThreadCanceled && !s.canceled[name], canceled && info.State != sturdy.ThreadCanceled:
		s.t.Errorf("%s, who plays %q, is %s (%v) after %q", name, script, info.State, info.Error, state.Log)
	}
	return state
}

// randomPlay is a script.
func randomPlay(chance *rand.Rand, depth, peers int) string {
	var words []string
	for range 1 + chance.IntN(6-2*depth) {
		switch k := chance.IntN(12); {
		case k < 8:
			words = append(words, string("TSSERrZT"[k]))
		case k == 8 && depth < 2:
			words = append(words, fmt.Sprintf("L%d(", 1+chance.IntN(3)), randomPlay(chance, depth+1, peers), ")")
		case k == 9 && depth == 0:
			words = append(words, "P(", strings.NewReplacer("R", "r", "M", "T").Replace(randomPlay(chance, 2, peers)), ")")
		default:
			words = append(words, fmt.Sprint("M", chance.IntN(peers)))
		}
	}
	if depth == 0 {
		words = append(words, []string{"T", "T", "F", "X", "S"}[chance.IntN(5)])
	}
	play := strings.Join(words, " ")
	if depth == 0 && !strings.ContainsAny(play, "Er") && chance.IntN(2) == 0 { // see Resume: it forgets every failure
		play = strings.ReplaceAll(play, "S", "K")
	}
	return play
}

func TestRandomThreadsDoWhatTheirScriptsSayWhateverHappens(t *testing.T) {
	first, rounds := uint64(rand.Uint32()), 30
	if raceEnabled || testing.Short() {
		rounds = 6
	}
	if n, err := strconv.ParseUint(os.Getenv("STURDY_SEED"), 0, 64); err == nil {
		first, rounds = n, 1
	}
	if n, err := strconv.Atoi(os.Getenv("STURDY_ROUNDS")); err == nil {
		rounds = n
	}
	for seed := first; seed < first+uint64(rounds); seed++ {
		ok := t.Run(fmt.Sprint("STURDY_SEED=", seed), func(t *testing.T) {
			t.Setenv("STURDY_SEED", strconv.FormatUint(seed, 10)) // what a crash leaves depends on it, too
			chance := rand.New(rand.NewPCG(seed, 7))
			var scripts []string
			for range 3 + chance.IntN(4) {
				scripts = append(scripts, randomPlay(chance, 0, 6))
			}
			s := newStage(t, seed%4 == 0, scripts...)
			for range 5 + chance.IntN(20) {
				s.upset(chance)
			}
			s.finish()
			s.check(scripts)
		})
		if !ok {
			return
		}
	}
}
