package sturdy

import (
	"errors"
	"slices"
	"strconv"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/objstore"
)

// allowed returns the methods that authority a lets its holder call now, in the order of the
// kind, and for collections the operations that are no methods. It counts as no use.
func (t *ReadTurn) allowed(b *bound, a caps.Authority) (names []string) {
	if b.def == nil || t.alive(a) != nil {
		return nil
	}
	only, limited := a.Gate.Methods()
	add := func(name string, need caps.Rights) {
		if a.Allows(need) && (!limited || slices.Contains(only, name)) {
			names = append(names, name)
		}
	}
	for _, m := range b.def.methods {
		add(m.name, m.need)
	}
	if b.def != t.vat.rt.brands.box.def { // what opens one is its unsealer
		for _, op := range t.vat.rt.typedOps(b.def) {
			add(op, caps.Write)
		}
	}
	return names
}

// typedOps are the operations on what comes with the runtime that are no methods, and that a
// grant's list of methods may name. Those of collections write.
func (rt *Runtime) typedOps(d *definition) []string {
	switch d {
	case rt.colls.mapping.def:
		return []string{"put", "delete"}
	case rt.colls.list.def:
		return []string{"append", "set"}
	case rt.colls.cell.def:
		return []string{"set"}
	case rt.brands.box.def:
		return []string{unsealerUnseal.Name()}
	}
	return nil
}

// grantsUp returns what the grants say that a Ref with authority a came through, from the
// nearest up.
func (t *ReadTurn) grantsUp(a caps.Authority) (infos []GrantInfo, err error) {
	rt := t.vat.rt
	queue := a.Gate.Grants()
	for i := 0; i < len(queue); i++ {
		h := rt.vat.table.get(rt.vat, objstore.OID{Vat: rt.vat.id, N: queue[i]})
		info, err := t.grantInfo(h)
		if errors.Is(err, caps.ErrGone) { // its turn did not commit, and somebody kept the Ref
			infos = append(infos, GrantInfo{ID: strconv.FormatUint(queue[i], 16)})
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
		v, err := t.state(h)
		if err != nil {
			return nil, err
		}
		_, up, _ := rt.open((*grant)(v.state).Object)
		for _, n := range up.Gate.Grants() {
			if !slices.Contains(queue, n) {
				queue = append(queue, n)
			}
		}
	}
	return infos, nil
}
