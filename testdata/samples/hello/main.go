// Hello is the application of the first sample image.
package main

import (
	"fmt"
	"runtime"
)

// version is set when it is linked.
var version = "unknown"

func main() {
	fmt.Printf("hello %s, running on %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
}
