// Command fleetsync puts one directory tree on every host of a fleet.
package main

func main() {}
