package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// probe is an object whose thread plays a script and writes into Log what came of each word:
//
//	T      a turn                        Z      sleep an hour
//	S      a step outside                M2     send to peer 2
//	E      a step outside that fails     P( )   spawn a child that plays what is inside
//	K      a step that fails until it is healed, and the program with it
//	R      receive, for ever             L3( )  three rounds of what is inside
//	r      receive within an hour        F, X   fail, panic
type probe struct {
	Name   string
	Script string
	Log    []string
	Peers  []caps.Ref
	Sent   map[string]int64 // by the peer's name
	Rounds map[string]int64
	Kids   []caps.Ref
}

// numbered is a message: the n-th that From has sent to its receiver.
type numbered struct {
	From string
	N    int64
}

const (
	probePlay  caps.Action            = "play"
	probeState caps.Query[probe]      = "state"
	probeTell  caps.Command[int64]    = "tell"
	probeMeet  caps.Command[caps.Ref] = "meet"
	probeNext  caps.Command[numbered] = "next"
)

func (p *probe) state(*sturdy.ReadTurn) (probe, error)      { return *p, nil }
func (p *probe) meet(_ *sturdy.WriteTurn, r caps.Ref) error { p.Peers = append(p.Peers, r); return nil }
func (p *probe) tell(t *sturdy.WriteTurn, i int64) error    { return p.send(t, i) }
func (p *probe) put(at, what string, args ...any) {
	p.Log = append(p.Log, at+" "+fmt.Sprintf(what, args...))
}
func (w word) name(i int) string    { return string(w.op) + strconv.Itoa(i) }
func (o *outer) heal()              { o.mu.Lock(); o.healed = true; o.mu.Unlock() }
func (o *outer) ran(key string) int { o.mu.Lock(); defer o.mu.Unlock(); return o.runs[key] }
func plays(th *sturdy.Thread[probe], f func(p *probe)) error {
	return th.Turn("log", func(_ *sturdy.WriteTurn, p *probe) error { f(p); return nil })
}

func newOuter() *outer {
	o := &outer{runs: map[string]int{}}
	o.kind = probeKindOf(o.play)
	return o
}

func probeKindOf(play func(*sturdy.Thread[probe]) error) *sturdy.KindOf[probe] {
	return sturdy.Define("proof/probe",
		sturdy.Query(probeState, (*probe).state), sturdy.Command(probeMeet, (*probe).meet),
		sturdy.Command(probeTell, (*probe).tell), sturdy.Runs(probePlay, play))
}

// send sends the next message to peer i; a peer that is not there is nobody.
func (p *probe) send(t *sturdy.WriteTurn, i int64) error {
	if i >= int64(len(p.Peers)) {
		return nil
	}
	if p.Sent == nil {
		p.Sent = map[string]int64{}
	}
	to := strconv.FormatInt(i, 10)
	probeNext.Send(t, p.Peers[i], numbered{p.Name, p.Sent[to]})
	p.Sent[to]++
	return nil
}

// outer is the world outside: it counts how often each step has run.
type outer struct {
	kind   *sturdy.KindOf[probe] // whose threads see this world outside
	mu     sync.Mutex            // guards what follows
	runs   map[string]int        // by key
	healed bool
}

// do is a step: it returns its key and how often it has run.
func (o *outer) do(ctx context.Context, op byte) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := sturdy.Key(ctx)
	o.runs[key]++
	if op == 'E' || op == 'K' && !o.healed {
		return "", fmt.Errorf("step %c fails", op)
	}
	return fmt.Sprintf("%s %d", key, o.runs[key]), nil
}

// word is one word of a script.
type word struct {
	op   byte
	n    int64
	body []word
	text string // of the body
}

func parseScript(s string) []word {
	words, rest := parseWords(strings.Fields(s))
	if len(rest) > 0 {
		panic("script: " + s)
	}
	return words
}

func parseWords(fields []string) (words []word, rest []string) {
	for len(fields) > 0 {
		f := fields[0]
		fields = fields[1:]
		if f == ")" {
			return words, fields
		}
		w := word{op: f[0]}
		w.n, _ = strconv.ParseInt(strings.TrimSuffix(f[1:], "("), 10, 64)
		if strings.HasSuffix(f, "(") {
			all := fields
			w.body, fields = parseWords(fields)
			w.text = strings.Join(all[:len(all)-len(fields)-1], " ")
		}
		words = append(words, w)
	}
	return words, nil
}

// play is the program.
func (o *outer) play(th *sturdy.Thread[probe]) error {
	var script string
	if err := th.View(func(_ *sturdy.ReadTurn, p *probe) error { script = p.Script; return nil }); err != nil {
		return err
	}
	err := o.words(th, parseScript(script), "")
	if errors.Is(err, sturdy.ErrCanceled) {
		return errors.Join(err, plays(th, func(p *probe) { p.put("", "canceled") }))
	}
	return err
}

func (o *outer) words(th *sturdy.Thread[probe], words []word, at string) error {
	for i, w := range words {
		if err := o.word(th, w, w.name(i), at+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

func (o *outer) word(th *sturdy.Thread[probe], w word, name, at string) error {
	said := ""
	switch w.op {
	case 'T':
	case 'M', 'P':
		return th.Turn(name, func(t *sturdy.WriteTurn, p *probe) error {
			p.put(at, "%c", w.op)
			if w.op == 'M' {
				return p.send(t, w.n)
			}
			child := o.kind.New(t, probe{Name: p.Name + at, Script: w.text})
			p.Kids = append(p.Kids, child, t.Spawn(probePlay.To(child), sturdy.Domain{}).Ref)
			return nil
		})
	case 'S', 'E', 'K':
		r, err := sturdy.Step(th, name, func(ctx context.Context) (string, error) { return o.do(ctx, w.op) })
		if err != nil && (w.op != 'E' || errors.Is(err, sturdy.ErrCanceled)) {
			return err
		}
		said = r
	case 'R', 'r':
		m, err := sturdy.Receive(th, name, probeNext, map[byte]time.Duration{'R': 0, 'r': time.Hour}[w.op])
		if said = fmt.Sprint(m.From, " ", m.N); errors.Is(err, sturdy.ErrTimeout) {
			said = "timeout"
		} else if err != nil {
			return err
		}
	case 'Z':
		if err := th.Sleep(name, time.Hour); err != nil {
			return err
		}
	case 'L':
		return o.loop(th, w, name, at)
	case 'F':
		return errors.New("the program fails")
	case 'X':
		panic("the program panics")
	}
	return plays(th, func(p *probe) { p.put(at, "%c %s", w.op, said) })
}

// loop counts its rounds in the state: how many there were is nothing that a program that
// begins anew could know by itself.
func (o *outer) loop(th *sturdy.Thread[probe], w word, name, at string) error {
	rounds := func() (n int64, err error) {
		err = th.View(func(_ *sturdy.ReadTurn, p *probe) error { n = p.Rounds[at]; return nil })
		return n, err
	}
	return th.Loop(name, func(uint64) (bool, error) {
		n, err := rounds()
		if err != nil {
			return false, err
		}
		if err := o.words(th, w.body, fmt.Sprintf("%s[%d].", at, n)); err != nil {
			return false, err
		}
		err = th.Turn("count", func(_ *sturdy.WriteTurn, p *probe) error {
			if p.Rounds == nil {
				p.Rounds = map[string]int64{}
			}
			p.Rounds[at]++
			return nil
		})
		if err != nil {
			return false, err
		}
		n, err = rounds()
		return n < w.n, err
	})
}

// probeTwin walks through a script beside the log of who has played it.
type probeTwin struct {
	t    *testing.T
	who  string
	log  []string
	keys map[string]bool
	out  *outer
	got  map[string]int64 // messages by sender
	kids []string         // the scripts of the children
}

// plays checks that the log is what the script says, as far as it goes; done says that it
// goes to the end.
func (w *probeTwin) plays(script string) (done, canceled bool) {
	w.t.Helper()
	done = w.walk(parseScript(script), "")
	if n := len(w.log); n > 0 && w.log[n-1] == " canceled" {
		w.log, done, canceled = w.log[:n-1], false, true
	}
	if len(w.log) > 0 {
		w.t.Errorf("%s, who plays %q, goes on with %q", w.who, script, w.log)
	}
	return done, canceled
}

func (w *probeTwin) walk(words []word, at string) bool {
	for i, word := range words {
		path := at + strconv.Itoa(i)
		if word.op == 'L' {
			for n := range word.n {
				if !w.walk(word.body, fmt.Sprintf("%s[%d].", path, n)) {
					return false
				}
			}
			continue
		}
		if word.op == 'F' || word.op == 'X' || len(w.log) == 0 || !strings.HasPrefix(w.log[0], path+" "+string(word.op)) {
			return false
		}
		said := strings.Fields(w.log[0])[2:]
		w.log = w.log[1:]
		w.said(word, said)
	}
	return true
}

func (w *probeTwin) said(word word, said []string) {
	switch word.op {
	case 'S', 'K':
		if ran := strconv.Itoa(w.out.ran(said[0])); w.keys[said[0]] || said[1] != ran {
			w.t.Errorf("%s: step %s is recorded from its run %s; it ran %s times; its key was seen: %v", w.who, said[0], said[1], ran, w.keys[said[0]])
		}
		w.keys[said[0]] = true
	case 'R', 'r':
		if said[0] == "timeout" {
			if word.op == 'R' {
				w.t.Errorf("%s: a wait for ever timed out", w.who)
			}
			return
		}
		if n, _ := strconv.ParseInt(said[1], 10, 64); n != w.got[said[0]] {
			w.t.Errorf("%s: message %d of %s is received where %d should be", w.who, n, said[0], w.got[said[0]])
		}
		w.got[said[0]]++
	case 'P':
		w.kids = append(w.kids, word.text)
	}
}
