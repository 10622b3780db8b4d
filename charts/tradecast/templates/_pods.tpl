{{/*
The spec of a pod. Takes (dict "root" $ "path" "server" "values" .Values.server "own" YAML): the component's values, their path for
messages, and the spec with one container as the component's own template has it. Then come the values that every component has, and last
containerSpec and podSpec.
*/}}
{{- define "tradecast.pod" -}}
{{- /* Templates are rendered in no order that is promised: what is wrong is said by the first of them. */ -}}
{{- include "tradecast.validate" .root -}}
{{- $v := .values | default dict -}}
{{- $spec := .own | fromYaml -}}
{{- if hasKey $spec "Error" -}}{{- fail (printf "the pod of %s: %s" .path $spec.Error) -}}{{- end -}}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- with get $v $field -}}{{- if not (hasKey $spec $field) -}}{{- $_ := set $spec $field . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- with include "tradecast.security" (dict "root" .root "values" $v "field" "podSecurityContext") | fromJson -}}{{- $_ := set $spec "securityContext" . -}}{{- end -}}
{{- with include "tradecast.pullSecrets" .root | fromJsonArray -}}{{- $_ := set $spec "imagePullSecrets" . -}}{{- end -}}
{{- $container := first $spec.containers -}}
{{- $name := $container.name -}}
{{- if ne (get (get $v "containerSpec" | default dict) "name" | default $name) $name -}}
{{- fail (printf "\n\n  %s.containerSpec.name: the container's name is %s and cannot be changed. Add containers of your own with %s.podSpec.containers.\n" .path $name .path) -}}
{{- end -}}
{{- with include "tradecast.security" (dict "root" .root "values" $v "field" "containerSecurityContext") | fromJson -}}{{- $_ := set $container "securityContext" . -}}{{- end -}}
{{- with get $v "extraEnvFrom" -}}{{- $_ := set $container "envFrom" (concat ($container.envFrom | default list) .) -}}{{- end -}}
{{- $extra := dict "env" (get $v "extraEnv" | default list) "volumeMounts" (get $v "extraVolumeMounts" | default list) -}}
{{- range $over := list $extra (get $v "containerSpec" | default dict) -}}
{{- $container = include "tradecast.merged" (dict "base" $container "over" $over) | fromJson -}}
{{- end -}}
{{- $_ := set $spec "containers" (list $container) -}}
{{- range $over := list (dict "volumes" (get $v "extraVolumes" | default list)) (get $v "podSpec" | default dict) -}}
{{- $spec = include "tradecast.merged" (dict "base" $spec "over" $over) | fromJson -}}
{{- end -}}
{{- include "tradecast.checkPod" (dict "path" .path "spec" $spec) -}}
{{- range $one := concat $spec.containers ($spec.initContainers | default list) -}}
{{- range $variable := $one.env | default list -}}
{{- /* Kubernetes takes text only. */ -}}
{{- if and (hasKey $variable "value") (not (kindIs "string" $variable.value)) -}}{{- $_ := set $variable "value" (include "tradecast.text" $variable.value) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey ($spec.securityContext | default dict) "fsGroup") -}}
{{- /* Files of Secrets then belong to root's group, in which a process need not be. */ -}}
{{- range $volume := $spec.volumes -}}
{{- with $volume.secret -}}{{- if eq (int .defaultMode) 0440 -}}{{- $_ := set . "defaultMode" 0444 -}}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/*
`over` merged into `base`, as JSON. Maps are merged, null removes a field, and a list replaces a list; but lists whose elements have names are
merged by these, as in `kubectl patch`. Not sprig's mergeOverwrite: it keeps null, and merges no lists.
*/}}
{{- define "tradecast.merged" -}}
{{- $result := .base | default dict | deepCopy -}}
{{- range $field, $value := .over -}}
{{- $old := get $result $field -}}
{{- $key := get (dict "containers" "name" "initContainers" "name" "volumes" "name" "env" "name" "imagePullSecrets" "name" "volumeMounts" "mountPath" "ports" "containerPort" "hostAliases" "ip") $field -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $result $field -}}
{{- else if kindIs "map" $value -}}
{{- $old = ternary $old dict (kindIs "map" $old) -}}
{{- if hasSuffix "Probe" $field -}}
{{- /* A probe has one of them: another one replaces the chart's. */ -}}
{{- $handlers := list "exec" "grpc" "httpGet" "tcpSocket" -}}
{{- $given := list -}}
{{- range $handlers -}}{{- if kindIs "map" (get $value .) -}}{{- $given = append $given . -}}{{- end -}}{{- end -}}
{{- range $handlers -}}{{- if and $given (not (has . $given)) -}}{{- $old = omit $old . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- $_ := set $result $field (include "tradecast.merged" (dict "base" $old "over" $value) | fromJson) -}}
{{- else if and $key (kindIs "slice" $value) -}}
{{- $items := ternary $old list (kindIs "slice" $old) -}}
{{- range $item := $value -}}
{{- $next := list -}}
{{- $there := false -}}
{{- range $one := $items -}}
{{- if eq (toString (get $one $key)) (toString (get $item $key)) -}}
{{- $there = true -}}
{{- /* Only containers are merged: a volume or a variable has one source. */ -}}
{{- $base := ternary $one dict (hasSuffix "ontainers" $field) -}}
{{- $one = include "tradecast.merged" (dict "base" $base "over" $item) | fromJson -}}
{{- end -}}
{{- $next = append $next $one -}}
{{- end -}}
{{- if not $there -}}{{- $next = append $next (include "tradecast.merged" (dict "over" $item) | fromJson) -}}{{- end -}}
{{- $items = $next -}}
{{- end -}}
{{- if $items -}}{{- $_ := set $result $field $items -}}{{- end -}}
{{- else -}}
{{- $_ := set $result $field $value -}}
{{- end -}}
{{- end -}}
{{- toJson $result -}}
{{- end -}}

{{/* What Kubernetes would refuse after a part of the release has changed. */}}
{{- define "tradecast.checkPod" -}}
{{- $path := .path -}}
{{- $volumes := list -}}
{{- range $volume := .spec.volumes -}}{{- $volumes = append $volumes $volume.name -}}{{- end -}}
{{- range $one := concat .spec.containers (.spec.initContainers | default list) -}}
{{- if not $one.image -}}
{{- fail (printf "\n\n  %s.podSpec: the container %q has no image. A container with the name of the chart's own is merged into it; another one needs an image.\n" $path (toString $one.name)) -}}
{{- end -}}
{{- range $mount := $one.volumeMounts -}}
{{- if not (has $mount.name $volumes) -}}
{{- fail (printf "\n\n  %s: the container %q mounts the volume %q, which the pod does not have: add it to %s.podSpec.volumes%s.\n" $path (toString $one.name) (toString $mount.name) $path (ternary " or server.extraVolumes" "" (eq $path "server"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
podSecurityContext or containerSecurityContext, as JSON. The values of a release of an older chart (`helm upgrade --reuse-values`) have neither
`test` nor `checkCluster`, nor what values.yaml has of these two: their pods stay restricted.
*/}}
{{- define "tradecast.security" -}}
{{- $base := dict -}}
{{- if not (and (hasKey .root.Values "test") (hasKey .root.Values "checkCluster")) -}}
{{- if eq .field "podSecurityContext" -}}
{{- $base = dict "runAsNonRoot" true "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- else -}}
{{- $base = dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- end -}}
{{- end -}}
{{- include "tradecast.merged" (dict "base" $base "over" (get .values .field | default dict)) -}}
{{- end -}}

{{/* image.pullSecrets and a parent chart's, as JSON. */}}
{{- define "tradecast.pullSecrets" -}}
{{- $names := list -}}
{{- range $secret := concat (.Values.image.pullSecrets | default list) (get (.Values.global | default dict) "imagePullSecrets" | default list) -}}
{{- $names = append $names (kindIs "string" $secret | ternary $secret (get (kindIs "map" $secret | ternary $secret dict) "name")) -}}
{{- end -}}
{{- $secrets := list -}}
{{- range $name := uniq $names -}}{{- $secrets = append $secrets (dict "name" $name) -}}{{- end -}}
{{- toJson $secrets -}}
{{- end -}}

{{/* A number or a boolean as text: without an exponent, and without a needless fraction. */}}
{{- define "tradecast.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- int64 . | toString -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{/*
Annotations of a pod. Takes (dict "values" .Values.server "own" dict). Nothing in the volume tmp is worth a node: without the annotation, the
cluster autoscaler would never remove one with an emptyDir on it.
*/}}
{{- define "tradecast.podAnnotations" -}}
{{- $annotations := .own | default dict -}}
{{- if .tmp -}}{{- $_ := set $annotations "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes" "tmp" -}}{{- end -}}
{{- range $name, $value := get (.values | default dict) "podAnnotations" | default dict -}}{{- $_ := set $annotations $name $value -}}{{- end -}}
{{- with $annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
