{{/* A reference to a TriggerAuthentication: its name, or its name and kind. */}}
{{- define "tradecast.authenticationRef" -}}
{{- if kindIs "map" . -}}
{{- toYaml . -}}
{{- else if . -}}
name: {{ . | quote }}
{{- end -}}
{{- end -}}

{{/* One of autoscaling.keda.triggers, as a list. KEDA takes only strings in metadata. */}}
{{- define "tradecast.trigger" -}}
{{- $metadata := dict -}}
{{- range $name, $value := .metadata | default dict -}}
{{- $_ := set $metadata $name (include "tradecast.metadataValue" $value) -}}
{{- end -}}
{{- $trigger := merge (dict "metadata" $metadata) (omit . "metadata" "authenticationRef") -}}
{{- with include "tradecast.authenticationRef" .authenticationRef -}}
{{- $_ := set $trigger "authenticationRef" (fromYaml .) -}}
{{- end -}}
{{- list $trigger | toYaml -}}
{{- end -}}

{{- define "tradecast.metadataValue" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- end -}}

{{/*
The sum of all connections. A server that is a target and does not answer Prometheus still has its clients, perhaps: it counts with its last
number for up to an hour. Without it, a Prometheus that reaches half of the servers would have the fleet shrink to half.
*/}}
{{- define "tradecast.connectionsQuery" -}}
{{- $of := printf "{namespace=%q,pod=~%q}" .Release.Namespace (printf "%s-[0-9a-z]+-[0-9a-z]{5}" (include "tradecast.fullname" .)) -}}
{{- printf "sum(tradecast_connections%[1]s or (last_over_time(tradecast_connections%[1]s[1h]) and on (namespace, pod) up%[1]s == 0))" $of -}}
{{- end -}}

{{/* What is wrong with autoscaling, as lines; included by tradecast.validate. */}}
{{- define "tradecast.autoscalingFaults" -}}
{{- $v := .Values -}}
{{- $a := $v.autoscaling -}}
{{- $keda := "autoscaling.mode=keda" -}}
{{- if and (ne $a.mode "none") (gt (int $a.minReplicas) (int $a.maxReplicas)) }}
autoscaling.minReplicas is above autoscaling.maxReplicas.
{{- end }}
{{- if and (ne $a.mode "none") (gt (int $a.connectionsPerReplica) (int $v.server.maxConnections)) }}
autoscaling.connectionsPerReplica is above server.maxConnections: servers would refuse clients before the fleet grows.
{{- end }}
{{- if and (eq $a.keda.source "operator") (not $v.operator.enabled) }}
autoscaling.keda.source=operator needs operator.enabled=true.
{{- end }}
{{- if eq $a.mode "keda" }}
{{- /* Helm knows kinds only if it has asked a cluster: without one, nothing is known of KEDA. */}}
{{- if and (ne (toString $v.checkCluster) "false") (.Capabilities.APIVersions.Has "apps/v1/Deployment") (not (.Capabilities.APIVersions.Has "keda.sh/v1alpha1/ScaledObject")) }}
{{ $keda }} needs KEDA (https://keda.sh, {{ include "tradecast.leastKeda" . }} or newer), which this cluster does not have: install KEDA first, or set autoscaling.mode=none. If the same sync installs it (Argo CD), set checkCluster=false.
{{- end }}
{{- if eq (include "tradecast.metricSource" .) "prometheus" }}
{{- if not $a.keda.prometheus.serverAddress }}
{{ $keda }} needs autoscaling.keda.prometheus.serverAddress, such as http://prometheus-operated.monitoring.svc:9090.
{{- end }}
{{- if and $a.keda.prometheus.authModes (not $a.keda.prometheus.authenticationRef) }}
autoscaling.keda.prometheus.authModes needs autoscaling.keda.prometheus.authenticationRef, which names the credentials.
{{- end }}
{{- end }}
{{- $names := list "connections" }}
{{- range $place, $trigger := $a.keda.triggers }}
{{- $which := printf "autoscaling.keda.triggers[%d]" $place }}
{{- if has $trigger.name $names }}
{{ $which }}.name={{ $trigger.name }} is the name of another trigger{{ if eq $trigger.name "connections" }}, the chart's own{{ end }}: KEDA needs a different name for each.
{{- end }}
{{- if $trigger.name }}{{ $names = append $names $trigger.name }}{{ end }}
{{- $resource := has $trigger.type (list "cpu" "memory") }}
{{- if and $trigger.useCachedMetrics (or $resource (eq $trigger.type "cron")) }}
{{ $which }}.useCachedMetrics is nothing for a trigger of type {{ $trigger.type }}, and KEDA refuses it: leave it out.
{{- end }}
{{- if and (eq $trigger.metricType "Utilization") (not $resource) }}
{{ $which }}.metricType=Utilization is for triggers of type cpu and memory only: set AverageValue, or leave it out.
{{- end }}
{{- if and $resource (not (dig "requests" $trigger.type "" ($v.server.resources | default dict))) (ne $trigger.metricType "AverageValue") }}
{{ $which }} of type {{ $trigger.type }} needs server.resources.requests.{{ $trigger.type }}, of which it is a percentage.
{{- end }}
{{- if eq $trigger.type "cron" }}
{{- include "tradecast.cronFaults" (dict "which" $which "trigger" $trigger "most" (int $a.maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tradecast.cronFaults" -}}
{{- $given := .trigger.metadata | default dict -}}
{{- $which := printf "%s.metadata" .which -}}
{{- $zone := get $given "timezone" | toString -}}
{{- if not $zone }}
{{ $which }}.timezone is missing: set the time zone in which the trigger's hours are meant, such as America/New_York.
{{- else if not (regexMatch "^[A-Za-z][A-Za-z0-9_]*(/[A-Za-z0-9_+-]+)*$" $zone) }}
{{ $which }}.timezone={{ $zone }} is no name of the IANA time zone database: set one such as America/New_York, which knows daylight saving time.
{{- end }}
{{- range $name := list "start" "end" }}
{{- $cron := get $given $name | toString }}
{{- if not $cron }}
{{ $which }}.{{ $name }} is missing: set minute, hour, day, month and weekday, such as "0 9 * * 1-5".
{{- else }}
{{- $fields := regexSplit " +" (trim $cron) -1 }}
{{- if ne (len $fields) 5 }}
{{ $which }}.{{ $name }}={{ $cron }} does not have the five fields minute, hour, day, month and weekday: set them, such as "0 9 * * 1-5".
{{- else }}
{{- range $at, $field := list
  (list "minute" "0 to 59" "[0-5]?[0-9]")
  (list "hour" "0 to 23" "([01]?[0-9]|2[0-3])")
  (list "day" "1 to 31" "(0?[1-9]|[12][0-9]|3[01])")
  (list "month" "1 to 12" "(0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)")
  (list "weekday" "0 (Sunday) to 6" "([0-6]|sun|mon|tue|wed|thu|fri|sat)") }}
{{- $one := printf "([*?]|%[1]s(-%[1]s)?)(/[1-9][0-9]?)?" (index $field 2) }}
{{- if not (regexMatch (printf "(?i)^%[1]s(,%[1]s)*$" $one) (index $fields $at)) }}
{{ $which }}.{{ $name }}={{ $cron }} has the {{ index $field 0 }} {{ index $fields $at }}: KEDA knows {{ index $field 1 }}, *, lists, ranges and steps.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (get $given "start") (eq (get $given "start" | toString) (get $given "end" | toString)) }}
{{ $which }}.start and .end are the same: KEDA needs two different times.
{{- end }}
{{- $wanted := include "tradecast.metadataValue" (get $given "desiredReplicas") }}
{{- if not (regexMatch "^[1-9][0-9]{0,5}$" $wanted) }}
{{ $which }}.desiredReplicas must be the number of servers between start and end, such as "20".
{{- else if gt (int $wanted) .most }}
{{ $which }}.desiredReplicas={{ $wanted }} is above autoscaling.maxReplicas={{ .most }}, the most servers that the autoscaler runs: raise that, or lower this.
{{- end }}
{{- if eq .trigger.metricType "Value" }}
{{ .which }}.metricType=Value would multiply the servers by desiredReplicas each time: set AverageValue, or leave it out.
{{- end }}
{{- end -}}

{{/* The oldest KEDA for which the chart is meant: docs/kubernetes.md says why. */}}
{{- define "tradecast.leastKeda" -}}2.13{{- end -}}
