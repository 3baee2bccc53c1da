// Command compose loads a Compose file as `docker compose config` does, and says what is wrong.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compose FILE")
		os.Exit(2)
	}
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithInterpolation(true), cli.WithProfiles([]string{"*"}))
	if err == nil {
		project, loadErr := options.LoadProject(context.Background())
		if loadErr == nil {
			text, marshalErr := project.MarshalYAML()
			if marshalErr == nil {
				fmt.Print(string(text))
				return
			}
			loadErr = marshalErr
		}
		err = loadErr
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
