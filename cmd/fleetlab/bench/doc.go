// Bench measures fleetsync beside what people use today, on one lab of real hosts, and prints the tables of
// docs/benchmarks.md. It needs root, Linux and the Debian packages of the programs it compares with: one that is
// missing is named and left out.
//
//	go run ./cmd/fleetlab/bench [-part a,b,c] [-runs 5] [-files 1000] [-size 4096]
//
// A larger tree shows other limits: -files 20000 -part b -runs 1 takes some minutes.
//
// Everything runs on the lab's first master. What is compared takes turns, so that what else the machine does hits
// all alike. Processor time is that of the command and of all it started, also of what it left in the
// background: the part "measure" of this program adopts those, ends them and counts them.
//
// It judges nothing, and it changes nothing outside its lab.
package main
