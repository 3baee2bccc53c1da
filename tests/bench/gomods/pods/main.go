// Command pods is three things that the benchmark of the watcher needs, in client-go with protobuf.
//
//	pods follow KUBECONFIG         a bare SharedInformer of all Pods, without a handler: prints
//	                               "synced" when its cache is filled, and for every line that it
//	                               reads the resourceVersion that it has reached
//	pods write KUBECONFIG NS RATE  for every line, a number, so many Pod status updates at RATE a
//	                               second: prints the seconds that they took and the last
//	                               resourceVersion
//	pods relay KUBECONFIG CERT KEY an API server's second front door, with TLS on loopback, that
//	                               keeps events of Pods' watches back: "address" prints where,
//	                               "hold" begins, and a number lets them go at that rate to each
//	                               client, and prints the seconds that it took
//
// All end with their input.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const writers = 8

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "follow":
		err = follow(os.Args[2])
	case len(os.Args) == 5 && os.Args[1] == "write":
		err = write(os.Args[2], os.Args[3], os.Args[4])
	case len(os.Args) == 5 && os.Args[1] == "relay":
		err = relay(os.Args[2], os.Args[3], os.Args[4])
	default:
		fmt.Fprintln(os.Stderr, "usage: pods follow KUBECONFIG | pods write KUBECONFIG NAMESPACE RATE | pods relay KUBECONFIG CERT KEY")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(kubeconfig string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.QPS = -1 // no limit of its own
	return kubernetes.NewForConfig(config)
}

func follow(kubeconfig string) error {
	client, err := connect(kubeconfig)
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

func write(kubeconfig, namespace, rate string) error {
	client, err := connect(kubeconfig)
	if err != nil {
		return err
	}
	perSecond, err := strconv.ParseFloat(rate, 64)
	if err != nil {
		return err
	}
	listed, err := client.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	fmt.Println("synced")
	for lines, sent := bufio.NewScanner(os.Stdin), 0; lines.Scan(); {
		count, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			return err
		}
		began := time.Now()
		last, err := writeAll(client, listed.Items, sent, count, perSecond)
		if err != nil {
			return err
		}
		sent += count
		fmt.Println(time.Since(began).Seconds(), last)
	}
	return nil
}

// writeAll updates the status of one Pod after the other, and returns the last resourceVersion.
func writeAll(client *kubernetes.Clientset, pods []corev1.Pod, sent, count int, perSecond float64) (uint64, error) {
	var next, last atomic.Int64
	var failed atomic.Value
	var all sync.WaitGroup
	began := time.Now()
	for range writers {
		all.Go(func() {
			for failed.Load() == nil {
				at := int(next.Add(1)) - 1
				if at >= count {
					return
				}
				time.Sleep(time.Until(began.Add(time.Duration(float64(at) / perSecond * float64(time.Second)))))
				version, err := restart(client, &pods[(sent+at)%len(pods)], int32(sent+at))
				if err != nil {
					failed.Store(err)
					return
				}
				for known := last.Load(); known < version && !last.CompareAndSwap(known, version); {
					known = last.Load()
				}
			}
		})
	}
	all.Wait()
	if err, isError := failed.Load().(error); isError {
		return 0, err
	}
	return uint64(last.Load()), nil
}

// restart tells what a kubelet tells after a container crashed and started again. No two writers
// have the same Pod at a time while there are more Pods than writers.
func restart(client *kubernetes.Clientset, pod *corev1.Pod, number int32) (int64, error) {
	now := metav1.NewTime(time.Unix(1764064800+int64(number), 0).UTC())
	told := &pod.Status.ContainerStatuses[0]
	told.RestartCount++
	told.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: 1, Reason: "Error", StartedAt: now, FinishedAt: now, ContainerID: told.ContainerID,
	}
	told.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
	pod.ResourceVersion = "" // whatever is there now
	stored, err := client.CoreV1().Pods(pod.Namespace).UpdateStatus(context.Background(), pod, metav1.UpdateOptions{})
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(stored.ResourceVersion, 10, 64)
}
