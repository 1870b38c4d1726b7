// Clock is the application of the second sample image: it tells the time in
// several places, which it takes from the base layer's time zones.
package main

import (
	"fmt"
	"os"
	"time"
)

// version is set when it is linked.
var version = "unknown"

func main() {
	fmt.Println("clock", version)
	now := time.Now()
	for _, zone := range []string{"UTC", "Europe/Berlin", "Asia/Tokyo"} {
		place, err := time.LoadLocation(zone)
		if err != nil {
			fmt.Fprintln(os.Stderr, "clock:", err)
			os.Exit(1)
		}
		fmt.Printf("%-15s%s\n", zone, now.In(place).Format("Mon 2 Jan 15:04"))
	}
}
