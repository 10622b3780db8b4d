// The process that holds a pod's namespaces: it waits, and reaps what is left to it.
module tradecast.test/pause

go 1.26.0
