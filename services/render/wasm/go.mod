module flotilla/render

go 1.26

require sigs.k8s.io/kustomize/api v0.21.1
