{{/* What is wrong with the values, as lines; included by tradecast.validate. Each line says what to do. */}}

{{/* What Kubernetes refuses although each value alone is right, often when a part of the release has been changed already. */}}
{{- define "tradecast.kubernetesFaults" -}}
{{- $v := .Values -}}
{{- $server := $v.server -}}
{{- $name := include "tradecast.fullname" . -}}
{{- /* Helm lets no capital through, except in its tests. */}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (lower $name)) }}
Services cannot be named {{ $name }}: a name begins with a letter, and has small letters, digits and - only. Set fullnameOverride, such as {{ printf "tradecast-%s" (regexReplaceAll "[^-a-z0-9]" $name "-") | trunc 40 | trimSuffix "-" }}.
{{- end }}
{{- if has (lower $name) (list "y" "n" "yes" "no" "on" "off" "true" "false" "null") }}
The name {{ $name }} is a word of YAML: set fullnameOverride to another one, such as tradecast-{{ $name }}.
{{- end }}
{{- range $value := list "fullnameOverride" "nameOverride" }}
{{- $given := get $v $value | default "" }}
{{- if gt (len $given) 40 }}
{{ $value }} has {{ len $given }} characters, and 40 are the most, so that names of all objects fit: set {{ $value }}={{ trunc 40 $given | trimSuffix "-" }} (the name that it has had so far) or a shorter one.
{{- end }}
{{- end }}
{{- $rolling := dig "rollingUpdate" dict ($server.strategy | default dict) | default dict }}
{{- if and (eq (toString (get $rolling "maxSurge") | trimSuffix "%") "0") (eq (toString (get $rolling "maxUnavailable") | trimSuffix "%") "0") (ne (dig "type" "RollingUpdate" ($server.strategy | default dict)) "Recreate") }}
server.strategy.rollingUpdate.maxSurge and .maxUnavailable are both 0: no server could ever be replaced. Leave maxSurge=100%, or set maxUnavailable=1.
{{- end }}
{{- if and $server.progressDeadlineSeconds (le (int $server.progressDeadlineSeconds) (int $server.minReadySeconds)) }}
server.progressDeadlineSeconds={{ int $server.progressDeadlineSeconds }} must be above server.minReadySeconds={{ int $server.minReadySeconds }}: leave it out (600 s more than minReadySeconds), or raise it.
{{- end }}
{{- $fixed := list "HOST" "PORT" "ADMIN_HOST" "ADMIN_PORT" "INTERNAL_HOST" "INTERNAL_PORT" "ADVERTISED_ADDRESS" "POD_NAME" "POD_UID" "FLEET_REVISION" }}
{{- $elsewhere := dict "DRAIN_DELAY" "drain.delaySeconds" "DRAIN_RATE" "drain.connectionsPerSecond" "DRAIN_TIMEOUT" "drain.timeoutSeconds" "SHUTDOWN_TIMEOUT" "drain.shutdownSeconds" "MAX_CONNECTIONS" "server.maxConnections" "SOCKET_PATH" "server.socketPath" "TRANSPORTS" "server.transports" }}
{{- $given := dict "server.extraEnv" $server.extraEnv "server.containerSpec.env" (get ($server.containerSpec | default dict) "env" | default list) }}
{{- range get ($server.podSpec | default dict) "containers" | default list }}{{ if eq .name "server" }}{{ $_ := set $given "server.podSpec.containers[server].env" .env }}{{ end }}{{ end }}
{{- range $path, $variables := $given }}
{{- range $variable := $variables | default list }}
{{- if has $variable.name $fixed }}
{{ $path }}: {{ $variable.name }} is set by the chart, whose Services, probes and NetworkPolicies rely on it: leave it out.
{{- end }}
{{- with get $elsewhere $variable.name }}
{{ $path }}: {{ $variable.name }} contradicts {{ . }}, from which the chart derives other values: set {{ . }} instead.
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.operator.enabled (not (include "tradecast.usesRedis" .)) (gt (int $v.autoscaling.maxReplicas) 1) }}
The SocketFleet may get autoscaling.maxReplicas={{ int $v.autoscaling.maxReplicas }} servers, and several servers need Redis to form one fleet: set autoscaling.maxReplicas=1, or redis.existingSecret.
{{- end }}
{{- if and $v.operator.enabled (eq (dig "type" "RollingUpdate" ($server.strategy | default dict)) "Recreate") (include "tradecast.judgesRollouts" .) }}
server.strategy.type=Recreate ends all old servers before the operator can judge new ones: leave type=RollingUpdate, or set operator.fleet.rollout.trial.enabled=false.
{{- end }}
{{- if and $v.gateway.enabled $v.httpRoute.enabled }}
{{- $names := list }}
{{- range $v.httpRoute.parentRefs }}{{ $names = append $names .name }}{{ end }}
{{- if and $names (not (has $name $names)) }}
gateway.enabled creates a Gateway without a route: httpRoute.parentRefs does not name it. Add {name: {{ $name }}}, or set gateway.enabled=false.
{{- else if and $v.gateway.host $v.httpRoute.hostnames }}
{{- $host := $v.gateway.host }}
{{- $matching := list }}
{{- range $v.httpRoute.hostnames }}
{{- if or (eq . $host) (and (hasPrefix "*." $host) (hasSuffix (trimPrefix "*" $host) .)) (and (hasPrefix "*." .) (hasSuffix (trimPrefix "*" .) $host)) }}{{ $matching = append $matching . }}{{ end }}
{{- end }}
{{- if and (not $matching) (le (len $names) 1) }}
gateway.host={{ $host }} is none of httpRoute.hostnames ({{ join ", " $v.httpRoute.hostnames }}), so the Gateway would accept no request for the route: set gateway.host to one of them, or leave it empty.
{{- end }}
{{- end }}
{{- end }}
{{- if $v.operator.enabled }}
{{- $rollout := include "tradecast.fleetRollout" . | fromYaml }}
{{- $trial := dig "trial" "seconds" 60 $rollout | int }}
{{- if and $server.minReadySeconds $trial (ne $trial (int $server.minReadySeconds)) }}
server.minReadySeconds={{ int $server.minReadySeconds }} and operator.fleet.rollout.trial.seconds={{ $trial }} set the same field of the Deployment: leave one of them out.
{{- end }}
{{- if gt $trial 3600 }}
server.minReadySeconds={{ $trial }} is too long for the operator, which judges new servers meanwhile: set 3600 or less.
{{- end }}
{{- if and (get $rollout "progressDeadlineSeconds") (le (get $rollout "progressDeadlineSeconds" | int) $trial) }}
{{ ternary "server" "operator.fleet.rollout" (not (not $server.progressDeadlineSeconds)) }}.progressDeadlineSeconds={{ get $rollout "progressDeadlineSeconds" }} must be above the {{ $trial }} s for which the operator judges new servers (server.minReadySeconds, or 60): leave it out, or raise it.
{{- end }}
{{- end }}
{{- $grace := dig "terminationGracePeriodSeconds" "" ($server.podSpec | default dict) }}
{{- if and (ne (toString $grace) "") (lt (int $grace) (include "tradecast.gracePeriod" . | int)) }}
server.podSpec.terminationGracePeriodSeconds={{ int $grace }} is less than a drain takes ({{ include "tradecast.gracePeriod" . }} s): leave it out, since the chart derives it, or shorten the drain with drain.timeoutSeconds, .delaySeconds and .shutdownSeconds.
{{- end }}
{{- $components := dict "server" $server "feed" $v.feed "redis.bundled" $v.redis.bundled "operator" $v.operator }}
{{- $others := dict "operator.crdJob" (get $v.operator "crdJob" | default dict) "test" (get $v "test" | default dict) }}
{{- range $path, $component := merge $others $components }}
{{- $pod := $component.podSecurityContext | default dict }}
{{- $container := $component.containerSecurityContext | default dict }}
{{- if and $container.privileged (hasKey $container "allowPrivilegeEscalation") (not $container.allowPrivilegeEscalation) }}
{{ $path }}.containerSecurityContext.privileged=true contradicts allowPrivilegeEscalation=false: set {{ $path }}.containerSecurityContext.allowPrivilegeEscalation=null.
{{- end }}
{{- $user := ternary $container.runAsUser $pod.runAsUser (hasKey $container "runAsUser") }}
{{- $notRoot := ternary $container.runAsNonRoot $pod.runAsNonRoot (hasKey $container "runAsNonRoot") }}
{{- if and $notRoot (eq (toString $user) "0") }}
{{ $path }} has runAsUser=0 (root) and runAsNonRoot=true, so its container could not start: set another runAsUser, or null for the image's own.
{{- end }}
{{- end }}
{{- range $path, $component := $components }}
{{- $policy := dig "restartPolicy" "Always" ($component.podSpec | default dict) }}
{{- if and $policy (ne $policy "Always") }}
{{ $path }}.podSpec.restartPolicy={{ $policy }} is not for a Deployment: leave it out.
{{- end }}
{{- range $what := list "requests" "limits" }}
{{- $memory := dig "resources" $what "memory" "" $component | toString }}
{{- if hasSuffix "m" $memory }}
{{ $path }}.resources.{{ $what }}.memory={{ $memory }} is in thousandths of a byte: set {{ trimSuffix "m" $memory }}Mi.
{{- end }}
{{- end }}
{{- $requests := dig "resources" "requests" dict $component | default dict }}
{{- range $resource, $limit := dig "resources" "limits" dict $component | default dict }}
{{- $request := get $requests $resource }}
{{- if and (hasKey $requests $resource) (gt (include "tradecast.quantity" $request | float64) (include "tradecast.quantity" $limit | float64)) }}
{{ $path }}.resources.requests.{{ $resource }}={{ $request }} is above its limit of {{ $limit }}: lower the request, or raise the limit.
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq (len ($v.service.ipFamilies | default list)) 2) (not (has $v.service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack"))) }}
service.ipFamilies names two families: set service.ipFamilyPolicy=PreferDualStack or RequireDualStack, or name one family.
{{- end }}
{{- range $name := list $name (printf "%s-admin" $name) }}
{{- $now := dig "spec" "ipFamilies" list (lookup "v1" "Service" $.Release.Namespace $name | default dict) }}
{{- if and $now $v.service.ipFamilies }}
{{- if ne (first $now) (first $v.service.ipFamilies) }}
service.ipFamilies begins with {{ first $v.service.ipFamilies }}, and the Service {{ $name }} has {{ first $now }} first, which Kubernetes cannot change: begin with {{ first $now }}, or delete the Service and upgrade again (clients cannot connect in between).
{{- end }}
{{- end }}
{{- end }}
{{- with dig "resources" "limits" "memory" "" $v.redis.bundled }}
{{- $limit := include "tradecast.quantity" . | float64 }}
{{- $most := include "tradecast.redisBytes" $v.redis.bundled.maxmemory | float64 }}
{{- if and $v.redis.bundled.enabled (or (ge $most $limit) (eq $most 0.0)) }}
redis.bundled.maxmemory={{ $v.redis.bundled.maxmemory }} is not below redis.bundled.resources.limits.memory={{ . }}, so Redis would be killed, with all its data, before it refuses writes: lower maxmemory, or raise the limit.
{{- end }}
{{- end }}
{{- if and $v.redis.bundled.enabled (not $v.redis.bundled.image.tag) (not $v.redis.bundled.image.digest) }}
redis.bundled.image has neither a tag nor a digest: set redis.bundled.image.tag.
{{- end }}
{{- range $which := list "podMonitor" "serviceMonitor" }}
{{- $monitor := get $v.metrics $which }}
{{- if and $monitor.enabled (gt (include "tradecast.seconds" $monitor.scrapeTimeout | float64) (include "tradecast.seconds" $monitor.interval | float64)) }}
metrics.{{ $which }}.scrapeTimeout={{ $monitor.scrapeTimeout }} is above .interval={{ $monitor.interval }}, and Prometheus would drop the monitor: lower scrapeTimeout.
{{- end }}
{{- if and $monitor.enabled (eq (include "tradecast.seconds" $monitor.interval | float64) 0.0) }}
metrics.{{ $which }}.interval must be above 0: set 15s.
{{- end }}
{{- end }}
{{- if and $v.operator.enabled $v.operator.namespaces (eq $v.operator.scope "cluster") }}
operator.namespaces is for operator.scope=namespace: with scope=cluster the operator manages all namespaces. Leave one of the two out.
{{- end }}
{{- if and $v.operator.enabled (gt (float64 $v.operator.roundSeconds) 100.0) }}
operator.roundSeconds={{ $v.operator.roundSeconds }} is too long: the alerts and the kubelet take an operator without a round in 5 minutes for stalled. Set 100 or less.
{{- end }}
{{- $stale := dig "metric" "staleSeconds" "" $v.operator.fleet }}
{{- if and $v.operator.enabled $stale (lt (float64 $stale) (mulf 2 $v.operator.roundSeconds)) }}
operator.fleet.metric.staleSeconds={{ int $stale }} is less than two rounds of operator.roundSeconds={{ $v.operator.roundSeconds }}, so the autoscaler would get no number in between: leave it out (three rounds, at least 30), or raise it.
{{- end }}
{{- if and $v.operator.enabled (eq (int $v.replicaCount) 0) (eq $v.autoscaling.mode "none") }}
replicaCount=0 is not for the operator, which keeps at least one server: set replicaCount=1, or operator.enabled=false to stop all servers.
{{- end }}
{{- end -}}

{{/*
What this cluster lacks. Helm knows kinds only if it has asked a cluster; `helm template` without --validate has not. Argo CD asks, and renders
before it installs CRDs of the same application: checkCluster=false.
*/}}
{{- define "tradecast.clusterFaults" -}}
{{- $has := .Capabilities.APIVersions -}}
{{- if and (ne (toString .Values.checkCluster) "false") ($has.Has "apps/v1/Deployment") -}}
{{- $v := .Values -}}
{{- $wanted := list
  (list $v.metrics.podMonitor.enabled "metrics.podMonitor.enabled" "monitoring.coreos.com/v1/PodMonitor" "the CRDs of Prometheus Operator (kube-prometheus-stack has it)")
  (list $v.metrics.serviceMonitor.enabled "metrics.serviceMonitor.enabled" "monitoring.coreos.com/v1/ServiceMonitor" "the CRDs of Prometheus Operator (kube-prometheus-stack has it)")
  (list $v.prometheusRule.enabled "prometheusRule.enabled" "monitoring.coreos.com/v1/PrometheusRule" "the CRDs of Prometheus Operator (kube-prometheus-stack has it)")
  (list (and $v.operator.enabled .Release.IsUpgrade) "operator.enabled" "tradecast.dev/v1alpha1/SocketFleet" "the CRD of SocketFleets (kubectl apply --server-side --field-manager=helm --force-conflicts -f charts/tradecast/crds/), since helm installs CRDs with the first install only")
  (list $v.httpRoute.enabled "httpRoute.enabled" "gateway.networking.k8s.io/v1/HTTPRoute" "the CRDs of the Gateway API, 1.2 or newer")
  (list $v.gateway.enabled "gateway.enabled" "gateway.networking.k8s.io/v1/Gateway" "the CRDs of the Gateway API, 1.2 or newer")
-}}
{{- range $one := $wanted }}
{{- if and (index $one 0) (not ($has.Has (index $one 2))) }}
{{ index $one 1 }} needs {{ index $one 3 }}, which this cluster does not have: install them first, or set {{ index $one 1 }}=false. If the same sync installs them (Argo CD), set checkCluster=false.
{{- end }}
{{- end }}
{{- if and $v.operator.enabled .Release.IsUpgrade (not ($has.Has "tradecast.dev/v1alpha1/SocketFleet")) }}
operator.enabled needs the CRD socketfleets.tradecast.dev, which Helm installs only with a first install: kubectl apply --server-side -f crds/socketfleets.yaml (in the chart's folder; `helm show crds` prints it), and upgrade again.
{{- end }}
{{- end -}}
{{- end -}}

{{/* A quantity of Kubernetes, such as 250m or 1Gi, as a number. */}}
{{- define "tradecast.quantity" -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . -}}{{- $text = printf "%f" . -}}{{- end -}}
{{- $number := regexFind "^[0-9.]+([eE][0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "" 1 "m" 0.001 "u" 0.000001 "n" 0.000000001 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 "E" 1000000000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- mulf (float64 $number) (get $factors $unit | default 1 | float64) | printf "%f" -}}
{{- end -}}

{{/* Redis' maxmemory, such as 200mb, in bytes: k is 1000, kb is 1024. */}}
{{- define "tradecast.redisBytes" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+" $text -}}
{{- $factors := dict "" 1 "k" 1000 "m" 1000000 "g" 1000000000 "kb" 1024 "mb" 1048576 "gb" 1073741824 -}}
{{- mulf (float64 $number) (get $factors (trimPrefix $number $text) | default 1 | float64) | printf "%f" -}}
{{- end -}}

{{/* A time of Prometheus, such as 1m30s, in seconds. */}}
{{- define "tradecast.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- $total := 0.0 -}}
{{- range $part := regexFindAll "[0-9]+(ms|[smhd])" (toString .) -1 -}}
{{- $number := regexFind "^[0-9]+" $part -}}
{{- $total = addf $total (mulf (float64 $number) (get $units (trimPrefix $number $part) | float64)) -}}
{{- end -}}
{{- printf "%f" $total -}}
{{- end -}}
