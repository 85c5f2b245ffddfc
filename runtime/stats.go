package sturdy

import (
	"expvar"
	"sync/atomic"
	"time"
)

// stats are counters since the world was opened.
type stats struct {
	turns, aborted, reads, reruns, panics atomic.Int64
	groups, grouped, elements             atomic.Int64
	faults, evicted                       atomic.Int64
	syncs, syncNanos                      atomic.Int64
	checkpoints, checkpointNanos          atomic.Int64
}

func (s *stats) group(objects, elements int) {
	s.groups.Add(1)
	s.grouped.Add(int64(objects))
	s.elements.Add(int64(elements))
}

func (s *stats) synced(_, _ int, took time.Duration) {
	s.syncs.Add(1)
	s.syncNanos.Add(int64(took))
}

func (s *stats) checkpointed(_ int, _ int64, took time.Duration) {
	s.checkpoints.Add(1)
	s.checkpointNanos.Add(int64(took))
}

// Counters returns the world's counters as one variable, to be published under a name of
// your choice: expvar.Publish("world", rt.Counters()). Times are in nanoseconds; all count
// from the opening of the world.
func (rt *Runtime) Counters() *expvar.Map {
	v := rt.vat
	m := new(expvar.Map).Init()
	for name, c := range map[string]*atomic.Int64{
		"write_turns": &v.stats.turns, "turns_failed": &v.stats.aborted, "read_turns": &v.stats.reads,
		"turns_run_again": &v.stats.reruns, "panics": &v.stats.panics,
		"groups": &v.stats.groups, "group_objects": &v.stats.grouped, "group_elements": &v.stats.elements,
		"syncs": &v.stats.syncs, "sync_ns": &v.stats.syncNanos,
		"checkpoints": &v.stats.checkpoints, "checkpoint_ns": &v.stats.checkpointNanos,
		"objects_loaded": &v.stats.faults, "objects_evicted": &v.stats.evicted,
	} {
		m.Set(name, expvar.Func(func() any { return c.Load() }))
	}
	m.Set("cache_bytes", expvar.Func(func() any { b, _ := v.cache.usage(); return b }))
	m.Set("cache_objects", expvar.Func(func() any { _, n := v.cache.usage(); return n }))
	m.Set("not_durable_bytes", expvar.Func(func() any { return v.queued.Load() }))
	return m
}
