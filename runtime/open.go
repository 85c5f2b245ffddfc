package sturdy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"
	"weak"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// Options for when Open's defaults do not fit. Each zero value is a sensible default.
type Options struct {
	Dir     string           // of the world; created if absent. Empty: a world in memory that ends with the process
	Kinds   []Kind           // what objects there may be
	Cache   int64            // bytes of states kept in memory; 0: 256 MiB
	Log     *slog.Logger     // nil: slog.Default(). Its handler may write into the world, too; so what is logged can come later than what it is about
	Clock   func() time.Time // nil: time.Now
	Random  io.Reader        // nil: crypto/rand; identities and turns' randomness come from it
	Files   objstore.FS      // nil: the operating system's; for fault injection
	Checked bool             // find impure turns, at the price of speed: for tests
	// ReadOnly opens a world that nobody else has open and changes nothing in it: every
	// write turn fails with ErrStopped.
	ReadOnly bool
}

// Open opens, or creates, the world in directory dir. Its error lists everything that is
// wrong with the kinds. Somebody else who has the world open is an error that says who.
func Open(dir string, ks ...Kind) (*Runtime, error) {
	if dir == "" {
		return nil, &caps.Error{Op: "open", Code: caps.ErrBadArgument, Text: "the directory of the world is empty; for a world in memory use sturdy.Options{}.Open()"}
	}
	return Options{Dir: dir, Kinds: ks}.Open()
}

// Open opens the world.
func (o Options) Open() (*Runtime, error) {
	o.defaults()
	rt := &Runtime{dir: o.Dir, log: o.Log, clock: o.Clock, entropy: o.Random, checked: o.Checked, dirs: newDirectoryKind(), colls: newCollKinds(), grants: newGrantKind(), ledgers: newLedgerKind(), brands: newBrandKinds(), activities: newActivityKind(), promises: newPromiseKind(), timers: newTimerKind(), threads: newThreadKind(), portKind: newPortKind(), domains: newDomainKind(), meters: newMeterKind(), foreign: newRemoteKind(), peers: newPeerKind()}
	rt.uses.young = map[uint64]use{}
	rt.awaits.by = map[uint64][]chan *group{}
	rt.couriers.begin(rt)
	rt.remotes.by = map[string]weak.Pointer[standIn]{}
	rt.ports.by = map[uint64]openedPort{}
	rt.strands.by, rt.strands.quiet.L = map[uint64]*strand{}, &rt.strands.mu
	v := &vat{
		rt: rt, gone: &bound{}, latent: &bound{name: "sturdy/promise"}, latentTimer: &bound{name: "sturdy/timer"}, latentRemote: &bound{name: "sturdy/remote"}, young: newLayer(), old: newLayer(), group: newGroup(),
		kick: make(chan struct{}, 1), soft: make(chan struct{}, 1),
		closing: make(chan struct{}), flushed: make(chan struct{}), retired: make(chan struct{}), ending: make(chan struct{}),
	}
	v.mail.kick = make(chan struct{}, 1)
	v.life, v.die = context.WithCancel(context.Background())
	rt.vat = v
	v.cache = cache{vat: v, budget: o.Cache}
	store, err := objstore.Open(o.Dir, objstore.Options{
		Files: o.Files, Clock: o.Clock, Random: o.Random, ReadOnly: o.ReadOnly,
		Events: objstore.Events{Synced: v.stats.synced, Checkpointed: v.stats.checkpointed, Failed: v.failure},
	})
	if err != nil {
		return nil, err
	}
	v.store, v.out = store, store
	if err := rt.start(o); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return rt, nil
}

func (o *Options) defaults() {
	if o.Cache == 0 {
		o.Cache = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Dir == "" && o.Files == nil {
		o.Files = objstore.NewMemory()
	}
}

// failure logs what the store cannot do any more.
func (v *vat) failure(op string, err error) {
	v.rt.logAside(slog.LevelError, "the store has stopped writing", "op", op, "err", err)
}

// start reads the world's kinds, binds the program's to them, and starts the goroutines.
func (rt *Runtime) start(o Options) error {
	v := rt.vat
	info := v.store.Info()
	v.id, v.lsn, v.cut, v.next, v.cutNext = info.Vat, info.LSN, info.LSN, info.Next, info.Next
	s := v.store.Snapshot()
	w, err := readWorld(s)
	s.Release()
	if err != nil {
		return err
	}
	rt.world = w
	rt.activity = v.table.get(v, v.activityOID())
	if err := v.loadCounts(); err != nil {
		return err
	}
	ds := append(rt.own().definitions(), kinds(o.Kinds).definitions()...)
	written, err := w.bind(ds, func(row uint32) int64 { return v.counts[row] })
	if err != nil {
		return err
	}
	v.activityKind = rt.bound(rt.activities.def).no
	lineages, known, err := v.readLineages(info)
	if err != nil {
		return err
	}
	rt.lineages.Store(&lineages)
	if !o.ReadOnly {
		if err := v.found(written, known); err != nil {
			return err
		}
	} else {
		v.failed.Store(&stopped{errors.New("the world was opened read-only")})
	}
	v.snaps.setDurable(&snapshot{lsn: v.lsn, store: v.store.Snapshot()})
	if err := v.checkActivity(); err != nil {
		return err
	}
	rt.worldID, rt.incarnation, rt.proven = info.World, info.Incarnation, newProven()
	if err := errors.Join(rt.openGates(), rt.openKey(o.Random, o.ReadOnly)); err != nil {
		return err
	}
	rt.root = v.table.get(v, objstore.OID{Vat: v.id, N: rootNumber})
	if _, err := rt.root.load(); err != nil {
		return err
	}
	if err := v.loadMail(); err != nil {
		return err
	}
	var threads []uint64
	if !o.ReadOnly {
		if threads, err = rt.runnableThreads(); err != nil { // before anything runs that would have to be ended
			return err
		}
	}
	rt.report(info)
	go v.flusher()
	go v.postman()
	if !o.ReadOnly {
		for _, n := range threads {
			rt.wakeThread(n)
		}
		rt.couriers.start()
		rt.couriers.running.Go(rt.forgetPeers)
	}
	rt.watch = rt.startWatchdog()
	return nil
}

const (
	// rootNumber is the object number of the root.
	rootNumber = 1
	// firstNumber is that of the first object which anybody makes; those below it are kept
	// for what a world begins with.
	firstNumber = 16
)

// found commits the kind rows that are new, the lineages in a world that is new or a copy,
// and in a new one the root and the ledger.
func (v *vat) found(written []*kindRow, lineagesKnown bool) error {
	b := &objstore.Batch{LSN: v.lsn + 1, Base: v.lsn, Next: max(v.next, firstNumber)}
	for _, row := range written {
		rec, err := row.record(b.LSN)
		if err != nil {
			return err
		}
		b.Put(objstore.KindKey(row.no), rec)
	}
	if v.next <= rootNumber {
		v.foundObject(b, rootNumber, v.rt.dirs.def)
		v.foundObject(b, grantsNumber, v.rt.ledgers.def)
		v.foundObject(b, activityNumber, v.rt.activities.def)
	}
	if !lineagesKnown {
		rec, err := v.rt.lineages.Load().record(b.LSN)
		if err != nil {
			return err
		}
		b.Put(lineageKey(v), rec)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := v.out.Commit(context.Background(), b); err != nil {
		return err
	}
	v.lsn, v.cut, v.next = b.LSN, b.LSN, b.Next
	return nil
}

// checkActivity refuses a world in which another object stands where what is under way is
// kept: it was made before there was any of that.
func (v *vat) checkActivity() error {
	s := v.snaps.acquire(&v.snaps.durable)
	defer v.snaps.release(s)
	rec, ok, err := s.store.Get(objstore.ObjectKey(v.activityOID()))
	if err != nil {
		return err
	}
	if !ok || rec.Kind != v.activityKind {
		return &caps.Error{Op: "open", Code: caps.ErrFailed, Text: "this world was made by a version of Sturdy that had no messages and no threads; this one cannot open it"}
	}
	return nil
}

// foundObject puts an object with the zero state of its kind into b.
func (v *vat) foundObject(b *objstore.Batch, n uint64, d *definition) {
	body, _ := d.codec.Append(nil, nil, d.alloc().state)
	no := v.rt.bound(d).no
	b.Put(objstore.ObjectKey(objstore.OID{Vat: v.id, N: n}), objstore.Record{LSN: b.LSN, Kind: no, Body: body})
	v.counts[no]++
	b.Put(objstore.CountKey(no), objstore.Record{LSN: b.LSN, Body: countBody(v.counts[no])})
}

// own are the kinds that come with the runtime.
func (rt *Runtime) own() kinds {
	return kinds{rt.dirs, rt.colls.mapping, rt.colls.list, rt.colls.cell, rt.grants, rt.ledgers, rt.activities, rt.promises, rt.timers, rt.threads, rt.portKind, rt.domains, rt.meters, rt.foreign, rt.peers, rt.brands.sealer, rt.brands.unsealer, rt.brands.box}
}

// openGates makes the gates; no grant is read.
func (rt *Runtime) openGates() error {
	v := rt.vat
	rt.ledger = v.table.get(v, objstore.OID{Vat: v.id, N: grantsNumber})
	s := v.snaps.acquire(&v.snaps.durable)
	defer v.snaps.release(s)
	rec, ok, err := s.store.Get(objstore.ElementKey(rt.ledger.oid, ledgerKey('t')))
	if err != nil {
		return err
	}
	var latest time.Time
	if mark, size := binary.Varint(rec.Body); ok && size > 0 {
		latest = time.Unix(0, mark)
		v.marked.Store(mark)
	}
	rt.gates = caps.NewGates(rt.readGrant, rt.clock, latest)
	return nil
}

// report logs what a reader of the log wants to know of the world that was opened.
func (rt *Runtime) report(info objstore.Info) {
	if rt.Copied() {
		rt.log.Warn("this world is a copy of another, and goes its own way: it refuses the sturdy refs of the original until it is adopted (sturdy adopt DIR, Runtime.Adopt)", "world", info.World)
	}
	absent := rt.world.absent(func(row uint32) int64 { return rt.vat.counts[row] })
	for _, name := range slices.Sorted(maps.Keys(absent)) {
		rt.log.Warn(name+": this process does not know the kind; its objects keep their bytes. Pass the kind to sturdy.Open.", "objects", absent[name])
	}
}

func (rt *Runtime) bound(d *definition) *bound { return rt.world.bound[d] }
