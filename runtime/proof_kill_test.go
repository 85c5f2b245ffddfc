package sturdy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

var killsFlag = flag.Int("kills", 0, "how often the crash proof kills a process; 0: a few times at each point")

// The world of the crash proof: accounts that pay each other, and a book in which every
// caller notes each of its turns. A turn pays, counts up its caller, and notes that, all
// three or nothing: so the book tells what every account has to hold.
const (
	killAccounts = 20
	killCallers  = 4
	killSum      = 1000
)

// noted is one line of the book.
type noted struct {
	From, To int
	Cents    int64
}

// bookKey is the line of a caller's nth turn.
func bookKey(caller int, n int64) string { return fmt.Sprintf("%02d/%09d", caller, n) }

// killLoad is what a child does until it is killed: it prints a line for each turn that was
// acknowledged, and only then.
type killLoad struct {
	rt      *sturdy.Runtime
	refs    []caps.Ref
	callers []caps.Ref
	book    sturdy.Map[string, noted]
}

// openKillLoad finds the objects, or makes them, all in one turn.
func openKillLoad(rt *sturdy.Runtime) (l killLoad, err error) {
	l = killLoad{rt: rt}
	find := func(ctx context.Context) (err error) {
		if l.book.Ref, err = rt.Root().Get(ctx, "book"); err != nil {
			return err
		}
		for i := range killAccounts + killCallers {
			ref, err := rt.Root().Get(ctx, fmt.Sprint(i))
			if err != nil {
				return err
			}
			l.refs = append(l.refs, ref)
		}
		l.refs, l.callers = l.refs[:killAccounts], l.refs[killAccounts:]
		return nil
	}
	ctx := context.Background()
	if _, err := rt.Root().Get(ctx, "book"); err != nil {
		err = rt.Update(ctx, func(t *sturdy.WriteTurn) error {
			for i := range killAccounts + killCallers {
				n := int64(killSum)
				if i >= killAccounts {
					n = 0
				}
				if err := rt.Root().Put(t, fmt.Sprint(i), accountKind.New(t, account{N: n})); err != nil {
					return err
				}
			}
			return rt.Root().Put(t, "book", sturdy.NewMap[string, noted](t).Ref)
		})
		if err != nil {
			return l, err
		}
	}
	return l, find(ctx)
}

// turn makes one payment and returns the caller's count.
func (l *killLoad) turn(ctx context.Context, caller int, p noted) (n int64, err error) {
	err = l.rt.Update(ctx, func(t *sturdy.WriteTurn) (err error) {
		if _, err = acAdd.Call(t, l.refs[p.From], -p.Cents); err != nil {
			return err
		}
		if n, err = acAdd.Call(t, l.callers[caller], 1); err != nil {
			return err
		}
		l.book.Put(t, bookKey(caller, n), p)
		_, err = acAdd.Call(t, l.refs[p.To], p.Cents)
		return err
	})
	return n, err
}

// run works until it is killed. Every third turn is Relaxed and claims nothing.
func (l *killLoad) run() {
	var busy sync.WaitGroup
	for caller := range killCallers {
		busy.Go(func() {
			for i := 0; ; i++ {
				ctx := context.Background()
				if i%3 == 2 {
					ctx = sturdy.Relaxed(ctx)
				}
				p := noted{rand.IntN(killAccounts), rand.IntN(killAccounts), rand.Int64N(100)}
				n, err := l.turn(ctx, caller, p)
				if err != nil {
					fmt.Println("error", err)
					return
				}
				if i%3 != 2 {
					fmt.Println("ack", caller, n)
				}
			}
		})
	}
	busy.Wait()
}

// killOrder is what the parent asks of a child.
type killOrder struct {
	Dir   string
	Point string // the operation on disk at which it kills itself; "": it is killed from outside
	Times int    // how many of these it survives
	Half  bool   // a write that it dies in is half done
}

// TestCrashChild is the child: it does nothing in an ordinary run.
func TestCrashChild(t *testing.T) {
	var o killOrder
	if json.Unmarshal([]byte(os.Getenv("STURDY_CRASH_CHILD")), &o) != nil {
		t.Skip("only as a child of TestKilledAnywhereNothingAcknowledgedIsLost")
	}
	files := &deadly{FS: objstore.OSFiles(o.Dir), order: o}
	rt, err := sturdy.Options{Files: files, Kinds: []sturdy.Kind{accountKind}}.Open()
	must(t, err)
	l, err := openKillLoad(rt)
	must(t, err)
	if o.Point == "close" {
		_, err := l.turn(t.Context(), 0, noted{0, 1, 1})
		must(t, err)
		files.armed.Store(true)
		must(t, rt.Close())
		return
	}
	files.armed.Store(true)
	l.run()
}

// deadly is an FS that kills its process at a given operation.
type deadly struct {
	objstore.FS
	order killOrder
	armed atomic.Bool
	seen  atomic.Int64
}

func (d *deadly) at(op string) {
	if d.armed.Load() && (op == d.order.Point || d.order.Point == "close") && d.seen.Add(1) > int64(d.order.Times) {
		die()
	}
}

// die is kill -9 on oneself: no deferred call runs, nothing is flushed.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

func (d *deadly) OpenFile(name string, flag int, perm fs.FileMode) (objstore.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	return &deadlyFile{f, d}, err
}

func (d *deadly) Remove(name string) error {
	d.at("remove")
	return d.FS.Remove(name)
}

func (d *deadly) SyncDir() error {
	d.at("syncdir")
	return d.FS.SyncDir()
}

type deadlyFile struct {
	objstore.File
	fs *deadly
}

func (f *deadlyFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.order.Half && f.fs.armed.Load() && f.fs.order.Point == "write" && f.fs.seen.Load() >= int64(f.fs.order.Times) {
		_, _ = f.File.WriteAt(p[:len(p)/2], off)
	}
	f.fs.at("write")
	n, err := f.File.WriteAt(p, off)
	f.fs.at("written")
	return n, err
}

func (f *deadlyFile) Sync() error {
	f.fs.at("sync")
	err := f.File.Sync()
	f.fs.at("synced")
	return err
}

// orders lists the points, each with a number of operations to survive.
func orders(dir string, chance *rand.Rand) (list []killOrder) {
	points := []killOrder{
		{Point: "write"},
		{Point: "write", Half: true},
		{Point: "written"},
		{Point: "sync"},
		{Point: "synced"},
		{Point: "syncdir"},
		{Point: "close"},
		{},
		{},
		{},
		{},
		{},
	}
	for i := range max(*killsFlag, len(points)) {
		o := points[i%len(points)]
		o.Dir = dir
		switch o.Point {
		case "":
			o.Times = chance.IntN(400)
		case "syncdir":
			o.Times = 0
		case "close":
			o.Times = chance.IntN(6)
		default:
			o.Times = chance.IntN(60)
		}
		list = append(list, o)
	}
	return list
}

func TestKilledAnywhereNothingAcknowledgedIsLost(t *testing.T) {
	chance := rand.New(rand.NewPCG(seedOf(t), 1))
	dir := t.TempDir() + "/world"
	acked := make([]int64, killCallers)
	for i, o := range orders(dir, chance) {
		load(t, o, acked)
		if t.Failed() || !survived(t, dir, acked) {
			t.Fatalf("kill %d, at %+v", i, o)
		}
	}
	t.Logf("acknowledged turns by caller: %v", acked)
}

// load runs one child until it is dead, and notes what it has acknowledged.
func load(t *testing.T, o killOrder, acked []int64) {
	order, err := json.Marshal(o)
	must(t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), "STURDY_CRASH_CHILD="+string(order))
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	acks, lines := 0, bufio.NewScanner(out)
	for lines.Scan() {
		var caller int
		var n int64
		if _, err := fmt.Sscanf(lines.Text(), "ack %d %d", &caller, &n); err != nil {
			if strings.HasPrefix(lines.Text(), "error") || strings.Contains(lines.Text(), "FAIL") {
				t.Error("the child:", lines.Text())
			}
			continue
		}
		acked[caller] = max(acked[caller], n)
		if acks++; acks > o.Times && o.Point == "" {
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait() // it was killed, which is an error to Wait
}

// survived opens the world and looks whether it holds all that was acknowledged, and
// nothing by half.
func survived(t *testing.T, dir string, acked []int64) bool {
	rt, err := sturdy.Open(dir, accountKind)
	must(t, err)
	defer rt.Close()
	must(t, rt.Check(t.Context()))
	if _, err := rt.Root().Get(t.Context(), "book"); err != nil {
		return acked[0] == 0
	}
	l, err := openKillLoad(rt)
	must(t, err)
	want, lines := l.replay(t, acked)
	must(t, rt.View(t.Context(), func(tn *sturdy.ReadTurn) error {
		if n := l.book.Len(tn); n != lines {
			t.Errorf("the book has %d lines, and says %d", lines, n)
		}
		for i, ref := range l.refs {
			if n, err := acGet.Call(tn, ref); n != want[i] || err != nil {
				t.Errorf("account %d holds %d, %v; by the book %d", i, n, err, want[i])
			}
		}
		return nil
	}))
	return !t.Failed()
}

// replay reads the book: every caller's turns from the first to the last that it counts,
// which must not be before the last that was acknowledged.
func (l *killLoad) replay(t *testing.T, acked []int64) (want []int64, lines int) {
	want = make([]int64, killAccounts)
	for i := range want {
		want[i] = killSum
	}
	must(t, l.rt.View(t.Context(), func(tn *sturdy.ReadTurn) error {
		for caller, ref := range l.callers {
			count, err := acGet.Call(tn, ref)
			if err != nil {
				return err
			}
			if count < acked[caller] {
				t.Errorf("caller %d: turn %d was acknowledged, and the last that is there is %d", caller, acked[caller], count)
			}
			n := int64(0)
			for key, p := range l.book.Range(tn, bookKey(caller, 0), bookKey(caller+1, 0)) {
				if n++; key != bookKey(caller, n) {
					t.Errorf("caller %d: line %q where %d should stand", caller, key, n)
				}
				want[p.From] -= p.Cents
				want[p.To] += p.Cents
			}
			if n != count {
				t.Errorf("caller %d: counts %d turns, and has %d lines", caller, count, n)
			}
			acked[caller] = count // what is there now may never go away again
			lines += int(n)
		}
		return nil
	}))
	return want, lines
}
