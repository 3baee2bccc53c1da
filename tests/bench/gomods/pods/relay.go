package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// gate keeps events of watches back, and lets them go at a rate.
type gate struct {
	mu      sync.Mutex
	changed chan struct{} // closed at every change
	held    bool
	began   time.Time // of the release
	rate    float64   // events a second to each client; 0: as they come
	watches map[*events]bool
}

func newGate() *gate {
	return &gate{changed: make(chan struct{}), watches: map[*events]bool{}}
}

// waiting is how many events have not been sent.
func (g *gate) waiting() (events int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for watch := range g.watches {
		events += watch.unsent.Load()
	}
	return events
}

func (g *gate) change(how func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	how()
	close(g.changed)
	g.changed = make(chan struct{})
}

// turn is how far one watch is in a release.
type turn struct {
	release time.Time
	number  int
}

// await returns when the next event of a watch may go; false: the client went.
func (g *gate) await(turn *turn, done <-chan struct{}) bool {
	for {
		g.mu.Lock()
		held, changed, rate, began := g.held, g.changed, g.rate, g.began
		g.mu.Unlock()
		if !held {
			if turn.release != began {
				turn.release, turn.number = began, 0
			}
			if rate > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(float64(turn.number) / rate * float64(time.Second)))))
			}
			turn.number++
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// events is one watch's body: the frames that came, each in the pieces in which the server wrote it.
type events struct {
	mu     sync.Mutex
	came   chan struct{}
	frames [][][]byte
	ended  bool
	unsent atomic.Int64
}

func (e *events) add(frame [][]byte, ended bool) {
	e.mu.Lock()
	if frame != nil {
		e.frames = append(e.frames, frame)
	}
	e.ended = e.ended || ended
	e.mu.Unlock()
	select {
	case e.came <- struct{}{}:
	default:
	}
}

func (e *events) take() (frames [][][]byte, ended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	frames, e.frames = e.frames, nil
	return frames, e.ended
}

// split reads frames: four bytes of length and a body in protobuf, a line in JSON.
func split(body io.Reader, protobuf bool, found *events) {
	reader := bufio.NewReaderSize(body, 1<<20)
	for {
		frame, err := next(reader, protobuf)
		if err != nil {
			found.add(nil, true)
			return
		}
		found.unsent.Add(1)
		found.add(frame, false)
	}
}

func next(reader *bufio.Reader, protobuf bool) ([][]byte, error) {
	if !protobuf {
		line, err := reader.ReadBytes('\n')
		return [][]byte{line}, err
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(reader, size); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size))
	_, err := io.ReadFull(reader, body)
	return [][]byte{size, body}, err
}

// follow passes a watch on through the gate.
func (g *gate) follow(writer http.ResponseWriter, response *http.Response) {
	for name, values := range response.Header {
		if name != "Transfer-Encoding" {
			writer.Header()[name] = values
		}
	}
	writer.WriteHeader(response.StatusCode)
	out := http.NewResponseController(writer)
	_ = out.Flush()
	found := &events{came: make(chan struct{}, 1)}
	protobuf := strings.Contains(response.Header.Get("Content-Type"), "protobuf")
	g.change(func() { g.watches[found] = true })
	defer g.change(func() { delete(g.watches, found) })
	go split(response.Body, protobuf, found)
	done := response.Request.Context().Done()
	var turn turn
	for {
		frames, ended := found.take()
		for _, frame := range frames {
			if !g.await(&turn, done) {
				return
			}
			for _, piece := range frame {
				if _, err := writer.Write(piece); err != nil {
					return
				}
			}
			if out.Flush() != nil {
				return
			}
			found.unsent.Add(-1)
		}
		if len(frames) > 0 {
			continue
		}
		if ended {
			return
		}
		select {
		case <-found.came:
		case <-done:
			return
		}
	}
}

// relay serves the API server under an address of its own.
func relay(kubeconfig, certificate, key string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return err
	}
	config.BearerToken = "" // each client brings its own
	transport, err := rest.TransportFor(config)
	if err != nil {
		return err
	}
	gate := newGate()
	plain := &httputil.ReverseProxy{
		Rewrite:       func(request *httputil.ProxyRequest) { request.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	handler := func(writer http.ResponseWriter, request *http.Request) {
		watch := request.URL.Query().Get("watch")
		if !strings.HasSuffix(request.URL.Path, "/pods") || (watch != "true" && watch != "1" && watch != "True") {
			plain.ServeHTTP(writer, request)
			return
		}
		onward := request.Clone(request.Context())
		onward.RequestURI = ""
		onward.URL.Scheme, onward.URL.Host, onward.Host = target.Scheme, target.Host, ""
		response, err := transport.RoundTrip(onward)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		gate.follow(writer, response)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(handler), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.ServeTLS(listener, certificate, key) }()
	fmt.Println("synced")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := gate.obey(strings.TrimSpace(lines.Text()), listener.Addr().String()); err != nil {
			return err
		}
	}
	ending, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = server.Shutdown(ending)
	return server.Close()
}

// obey does what a line says: tell the address, keep events back, or let them go at a rate.
func (g *gate) obey(line, address string) error {
	switch line {
	case "address":
		fmt.Println(address)
		return nil
	case "hold":
		g.change(func() { g.held = true })
		fmt.Println("held")
		return nil
	}
	rate, err := strconv.ParseFloat(line, 64)
	if err != nil {
		return err
	}
	began := time.Now()
	g.change(func() { g.held, g.rate, g.began = false, rate, began })
	for g.waiting() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(began)
	g.change(func() { g.rate = 0 })
	fmt.Println(took.Seconds())
	return nil
}
