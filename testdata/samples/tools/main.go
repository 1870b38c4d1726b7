// Tools is the base layer's few commands in one static binary, which acts by
// the name it is called by.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var tools = map[string]func(args []string) error{
	"cat": func(args []string) error {
		return each(args, func(_ string, f io.Reader) error {
			_, err := io.Copy(os.Stdout, f)
			return err
		})
	},
	"echo": func(args []string) error {
		_, err := fmt.Println(strings.Join(args, " "))
		return err
	},
	"env": func([]string) error {
		_, err := fmt.Println(strings.Join(os.Environ(), "\n"))
		return err
	},
	"ls": list,
	"sha256sum": func(args []string) error {
		return each(args, func(name string, f io.Reader) error {
			h := sha256.New()
			_, err := io.Copy(h, f)
			fmt.Printf("%x  %s\n", h.Sum(nil), name)
			return err
		})
	},
	"sleep": func(args []string) error {
		d, err := time.ParseDuration(strings.Join(args, "") + "s")
		time.Sleep(d)
		return err
	},
}

func main() {
	name := filepath.Base(os.Args[0])
	tool, ok := tools[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: not one of the tools here\n", name)
		os.Exit(127)
	}
	if err := tool(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// each opens the files one by one.
func each(names []string, do func(name string, f io.Reader) error) error {
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = do(name, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func list(dirs []string) error {
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	}
	return nil
}
