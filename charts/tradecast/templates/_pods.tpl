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
{{- $faults := trim (include "tradecast.containerFaults" (dict "path" .path "spec" $spec "own" (first (.own | fromYaml).containers))) -}}
{{- if $faults -}}{{- fail (printf "\n\n  %s\n" (regexReplaceAll "\n+" $faults "\n  ")) -}}{{- end -}}
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
What containers cannot be together, or without the chart's own settings, as lines. Takes path, the pod's spec, and the chart's container as it
was (own).
*/}}
{{- define "tradecast.containerFaults" -}}
{{- $path := .path -}}
{{- $own := .own -}}
{{- $numbers := dict -}}
{{- $names := dict -}}
{{- range $one := concat .spec.containers (.spec.initContainers | default list) -}}
{{- $isOwn := eq $one.name $own.name -}}
{{- if $isOwn }}
{{- range $port := $own.ports }}
{{- $left := false }}
{{- range $given := $one.ports }}{{ if and (eq (toString $given.name) $port.name) (eq (int $given.containerPort) (int $port.containerPort)) }}{{ $left = true }}{{ end }}{{ end }}
{{- if not $left }}
{{ $path }}.containerSpec.ports takes away the port {{ $port.name }} ({{ $port.containerPort }}), which Services and probes use: leave it out of ports, and give ports of your own other names and numbers.
{{- end }}
{{- end }}
{{- $variables := list }}
{{- range $one.env }}{{ $variables = append $variables .name }}{{ end }}
{{- $lost := list }}
{{- range $own.env }}{{ if not (has .name $variables) }}{{ $lost = append $lost .name }}{{ end }}{{ end }}
{{- if $lost }}
{{ $path }}.containerSpec.env takes away what the chart sets ({{ join ", " $lost }}): env=null removes all variables; leave it out, or list only those that you add.
{{- end }}
{{- range $source := $own.envFrom }}
{{- if not (has (toJson $source) (splitList "\n" (include "tradecast.lines" $one.envFrom))) }}
{{ $path }}.containerSpec.envFrom takes away the ConfigMap {{ $source.configMapRef.name }} with the chart's settings: {{ if eq $path "server" }}use server.extraEnvFrom, or {{ end }}add {configMapRef: {name: {{ $source.configMapRef.name }}}} to it.
{{- end }}
{{- end }}
{{- end }}
{{- $runs := or (not (has (toJson $one) (splitList "\n" (include "tradecast.lines" $.spec.initContainers)))) (eq (toString $one.restartPolicy) "Always") }}
{{- $known := list }}
{{- range $port := $one.ports }}
{{- with $port.name }}{{ $known = append $known . }}{{ end }}
{{- if $runs }}
{{- $number := printf "%d/%s" (int $port.containerPort) ($port.protocol | default "TCP") }}
{{- with get $numbers $number }}
{{ $path }}: the containers {{ . }} and {{ $one.name }} both have the port {{ $number }}, and a pod has each port once: set another containerPort in {{ $path }}.podSpec.containers or .containerSpec.
{{- end }}
{{- $_ := set $numbers $number $one.name }}
{{- with $port.name }}
{{- $name := . }}
{{- with get $names $name }}
{{ $path }}: the containers {{ . }} and {{ $one.name }} both have a port called {{ $name }}, and Services and monitors use names: set another name in {{ $path }}.podSpec.containers or .containerSpec.
{{- end }}
{{- $_ := set $names $name $one.name }}
{{- end }}
{{- end }}
{{- end }}
{{- range $kind := list "startupProbe" "readinessProbe" "livenessProbe" }}
{{- with get $one $kind }}
{{- $which := printf "%s: %s of the container %s" $path $kind $one.name }}
{{- $handlers := list }}
{{- range $handler := list "exec" "grpc" "httpGet" "tcpSocket" }}{{ if hasKey (get $one $kind) $handler }}{{ $handlers = append $handlers $handler }}{{ end }}{{ end }}
{{- if ne (len $handlers) 1 }}
{{ $which }} has {{ len $handlers }} of exec, grpc, httpGet and tcpSocket: set one of them, or {{ $kind }}=null for no such probe.
{{- end }}
{{- range $least := list (list "initialDelaySeconds" 0) (list "periodSeconds" 1) (list "timeoutSeconds" 1) (list "failureThreshold" 1) (list "successThreshold" 1) }}
{{- $value := get (get $one $kind) (first $least) }}
{{- if and (hasKey (get $one $kind) (first $least)) (or (kindIs "string" $value) (lt (int64 $value) (last $least | int64))) }}
{{ $which }} has {{ first $least }}={{ $value }}: set a number of at least {{ last $least }}.
{{- end }}
{{- end }}
{{- if and (ne $kind "readinessProbe") (gt (int (get (get $one $kind) "successThreshold")) 1) }}
{{ $which }} has successThreshold={{ get (get $one $kind) "successThreshold" }}: Kubernetes takes 1 only.
{{- end }}
{{- range $handler := list "httpGet" "tcpSocket" }}
{{- $port := dig $handler "port" "" (get $one $kind) }}
{{- if and (kindIs "string" $port) $port (not (has $port $known)) (not (regexMatch "^[0-9]+$" $port)) }}
{{ $which }} asks the port {{ $port }}, which the container does not have: name one of its ports, or set a number.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Each element of a list as JSON, in a line of its own. */}}
{{- define "tradecast.lines" -}}
{{- range . }}
{{ toJson . }}
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
{{- $own := keys $annotations -}}
{{- range $name, $value := get (.values | default dict) "podAnnotations" | default dict -}}
{{- /* Without the one, a changed setting restarts nothing; without the other, the operator sends ADMIN_TOKEN itself. */ -}}
{{- if not (and (has $name (list "checksum/config" "tradecast.dev/admin-requests")) (has $name $own)) -}}{{- $_ := set $annotations $name $value -}}{{- end -}}
{{- end -}}
{{- with $annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
