module kube-sluice.sandbox/pause

go 1.26.0
