package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) run(_ context.Context, a *app) error {
	version := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = moduleVersion(info)
	}
	_, err := fmt.Fprintf(a.out, "%s %s, %s, %s/%s\n", a.name, version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// modulePath is this module, which is a dependency in a program with kinds of its own.
const modulePath = "github.com/sturdyrt/sturdy"

func moduleVersion(info *debug.BuildInfo) string {
	version := info.Main.Version
	for _, dep := range info.Deps {
		if dep.Path == modulePath {
			version = dep.Version
		}
	}
	return version
}
