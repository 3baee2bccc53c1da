// Command informer is a bare client-go SharedInformer of all Pods in protobuf, without a handler.
// It prints "synced" when its cache is filled and, for every line that it reads, the
// resourceVersion that it has reached. It ends with its input.
//
//	informer KUBECONFIG
package main

import (
	"bufio"
	"fmt"
	"os"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: informer KUBECONFIG")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0) // 0: no resync
	pods := factory.Core().V1().Pods().Informer()
	ending := make(chan struct{})
	factory.Start(ending)
	factory.WaitForCacheSync(ending)
	fmt.Println("synced")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(pods.LastSyncResourceVersion())
	}
	close(ending)
	factory.Shutdown()
	return nil
}
