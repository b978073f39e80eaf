package version

// The version of Kubernetes' client that this Helm is made with, as its go.mod has it.
func K8sIOClientGoModVersion() (string, error) { return "v0.36.1", nil }
