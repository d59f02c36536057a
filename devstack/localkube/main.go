// Command localkube is Kubernetes in one static binary: control plane, node, DNS and client.
//
// The components share most of their code; linked together they are built once and stored once,
// and no registry of container images is needed.
// The component is named either by the program's own name (a link called kubectl is kubectl) or
// by the first argument:
//
//	localkube etcd --data-dir /tmp/etcd
//	ln -s localkube kubectl && ./kubectl get nodes
//
// A component reads its own flags and prints its own help. The versions of all of them are the
// ones in go.mod; devstack stamps the Kubernetes version with -ldflags.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	// Both register themselves: the client's request metrics, and the version metric.
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// components holds how each component runs. It is given its own name and arguments as a program
// would be, and returns its exit code.
var components = map[string]func(args []string) int{
	"coredns":                 runCoreDNS,
	"etcd":                    runEtcd,
	"kube-apiserver":          func(args []string) int { return run(apiserver.NewAPIServerCommand(), args) },
	"kube-controller-manager": func(args []string) int { return run(controllermanager.NewControllerManagerCommand(), args) },
	"kube-proxy":              func(args []string) int { return run(proxy.NewProxyCommand(), args) },
	"kube-scheduler":          func(args []string) int { return run(scheduler.NewSchedulerCommand(), args) },
	"kubectl":                 func(args []string) int { return run(kubectl.NewDefaultKubectlCommand(), args) },
	"kubelet":                 func(args []string) int { return run(kubelet.NewKubeletCommand(context.Background()), args) },
}

func main() {
	// The components, and libraries below them, look at os.Args themselves: what they see must
	// begin with the component's name.
	component, known := components[filepath.Base(os.Args[0])]
	if !known && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		component, known = components[os.Args[0]]
	}
	if !known {
		usage()
	}
	os.Exit(component(os.Args))
}

// run executes a component that is a cobra command, with Kubernetes' own handling of log flags
// and errors around it.
func run(command *cobra.Command, args []string) int {
	command.SetArgs(args[1:])
	return cli.Run(command)
}

// runEtcd executes etcd, which ends the process itself when it fails.
func runEtcd(args []string) int {
	etcdmain.Main(args)
	return 0
}

// usage says which components there are and ends the process with the code for wrong usage.
func usage() {
	names := make([]string, 0, len(components))
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: localkube %s [arguments]\n", strings.Join(names, "|"))
	os.Exit(2)
}
