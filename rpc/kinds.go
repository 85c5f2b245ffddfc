package rpc

import (
	"context"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Kinds is [sturdy.Runtime.Kinds] of that host, without states and counts.
func (o *Operator) Kinds(ctx context.Context) (kinds []sturdy.KindInfo, err error) {
	r, _, err := o.ask(ctx, request{method: operateKinds}, 0)
	if err != nil {
		return nil, err
	}
	list, err := decoded[[][]byte](r.body, nil)
	if err != nil {
		return nil, err
	}
	for _, body := range list {
		info, err := sturdy.DecodeInfo(body)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, info.Kind)
	}
	return kinds, nil
}

// kinds answers it: each kind is described as an object of it would be.
func (g guest) kinds(ctx context.Context) (r response, err error) {
	kinds, err := g.n.rt.Kinds(ctx)
	if err != nil {
		return r, err
	}
	var list [][]byte
	for _, k := range kinds {
		body, err := sturdy.ObjectInfo{Kind: k}.Encode()
		if err != nil {
			return r, err
		}
		list = append(list, body)
	}
	r.body, _, err = encoded(list)
	return r, err
}

// Hosts is [Node.Hosts] of that host.
func (o *Operator) Hosts(ctx context.Context) ([]HostInfo, error) {
	r, _, err := o.ask(ctx, request{method: operateHosts}, 0)
	if err != nil {
		return nil, err
	}
	return decoded[[]HostInfo](r.body, nil)
}

// hosts answers it.
func (g guest) hosts(ctx context.Context) (r response, err error) {
	hosts, err := g.n.Hosts(ctx)
	if err != nil {
		return r, err
	}
	r.body, _, err = encoded(hosts)
	return r, err
}
