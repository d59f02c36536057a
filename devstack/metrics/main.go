// Command metrics-adapter is prometheus-adapter for the custom metrics API: it answers the autoscaler
// from Prometheus, by the rules in a file.
//
// prometheus-adapter's own command does not compile with the libraries of the Kubernetes that
// localkube is; the packages below it do. Prometheus itself is built from the same go.mod, as it
// is.
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/component-base/logs"
	"k8s.io/klog/v2"
	metrics "sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/prometheus-adapter/pkg/client"
	"sigs.k8s.io/prometheus-adapter/pkg/config"
	provider "sigs.k8s.io/prometheus-adapter/pkg/custom-provider"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

func main() {
	logs.InitLogs()
	defer logs.FlushLogs()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args); err != nil {
		klog.Fatal(err)
	}
}

// run serves until ctx ends. The flags have the names that they have in prometheus-adapter.
func run(ctx context.Context, args []string) error {
	var base metrics.AdapterBase
	base.Name = "prometheus-metrics-adapter"
	flags := base.Flags()
	prometheus := flags.String("prometheus-url", "", "where Prometheus is")
	file := flags.String("config", "", "the file of the rules")
	relist := flags.Duration("metrics-relist-interval", 10*time.Minute, "how often series are listed")
	maxAge := flags.Duration("metrics-max-age", 10*time.Minute, "how old a series that is listed may be")
	if err := flags.Parse(args); err != nil {
		return err
	}

	rules, err := config.FromFile(*file)
	if err != nil {
		return fmt.Errorf("failed to read the rules: %w", err)
	}
	address, err := url.Parse(*prometheus)
	if err != nil {
		return fmt.Errorf("failed to read the address of Prometheus: %w", err)
	}
	mapper, err := base.RESTMapper()
	if err != nil {
		return err
	}
	kubernetes, err := base.DynamicClient()
	if err != nil {
		return err
	}
	namers, err := naming.NamersFromConfig(rules.Rules, mapper)
	if err != nil {
		return fmt.Errorf("failed to understand the rules: %w", err)
	}
	api := unhurried{client.NewGenericAPIClient(http.DefaultClient, address, nil)}
	source := client.NewClientForAPI(api, http.MethodGet)
	custom, runner := provider.NewPrometheusProvider(mapper, kubernetes, source, namers, *relist, *maxAge)
	runner.RunUntil(ctx.Done())
	base.WithCustomMetrics(custom)
	return base.Run(ctx)
}

// unhurried leaves out the time limit of queries, which prometheus-adapter writes with a minus:
// Prometheus refuses it. The context ends a query all the same.
type unhurried struct {
	client.GenericAPIClient
}

func (u unhurried) Do(ctx context.Context, verb, endpoint string, query url.Values) (client.APIResponse, error) {
	query.Del("timeout")
	return u.GenericAPIClient.Do(ctx, verb, endpoint, query)
}
