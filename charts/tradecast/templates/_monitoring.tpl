{{/* What an object for Prometheus or Grafana may have besides its content: a namespace, and what the chart's own values say of it. */}}
{{- define "tradecast.namespace" -}}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* A monitor in another namespace needs to know where the pods are. */}}
{{- define "tradecast.monitored" -}}
{{- if and .monitor.namespace (ne .monitor.namespace .root.Release.Namespace) }}
namespaceSelector:
  matchNames: [{{ .root.Release.Namespace | quote }}]
{{- end }}
{{- end -}}

{{- define "tradecast.relabelings" -}}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The rules as text, for this release: its namespace, and the names of its pods, Deployment, autoscaler and SocketFleet in the
matchers that match everything in files/alerts.yaml. */}}
{{- define "tradecast.releaseRules" -}}
{{- $rules := .Files.Get "files/alerts.yaml" | replace "https://github.com/tradecast/tradecast/blob/main/docs/runbook.md" .Values.prometheusRule.runbookUrl -}}
{{- if .Values.prometheusRule.ofRelease -}}
{{- $namespace := printf "namespace=%q, " .Release.Namespace -}}
{{- $name := include "tradecast.fullname" . -}}
{{- /* A ReplicaSet's name behind the Deployment's, and five characters: one part if Kubernetes had to shorten it. */ -}}
{{- $pods := printf "%spod=~\"%s(-feed)?(-[0-9a-z]+){1,2}\"" $namespace $name -}}
{{- $rules = $rules | replace "pod=~\".*\"" $pods | replace "pod=~\".*tradecast.*\"" $pods -}}
{{- $rules = $rules | replace "deployment=~\".*tradecast.*\"" (printf "%sdeployment=%q" $namespace $name) -}}
{{- $rules = $rules | replace "horizontalpodautoscaler=~\".*tradecast.*\"" (printf "%shorizontalpodautoscaler=~\"(keda-hpa-)?%s\"" $namespace $name) -}}
{{- $rules = $rules | replace "fleet=~\".*\"" (printf "%sfleet=%q" $namespace $name) -}}
{{- /* Two releases record series of the same name. */ -}}
{{- $own := printf "%s/%s" .Release.Namespace $name -}}
{{- $rules = $rules | replace "rules=\"tradecast\"" (printf "rules=%q" $own) | replace "rules: tradecast\n" (printf "rules: %s\n" $own) -}}
{{- end -}}
{{- $rules -}}
{{- end -}}

{{/* The rules without the alerts that are switched off, and with the thresholds, times and severities that are set. */}}
{{- define "tradecast.alertRules" -}}
{{- $disabled := .Values.prometheusRule.disabled | default list -}}
{{- $overrides := .Values.prometheusRule.overrides | default dict -}}
{{- $text := include "tradecast.releaseRules" . -}}
{{- if not (or $disabled $overrides) -}}
{{- $text -}}
{{- else -}}
{{- $known := list -}}
{{- $groups := list -}}
{{- range $group := (fromYaml $text).groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- $name := $rule.alert | default "" -}}
{{- with $name -}}{{- $known = append $known . -}}{{- end -}}
{{- with get $overrides $name -}}
{{- if hasKey . "threshold" -}}
{{- if not (contains "# threshold" $rule.expr) -}}
{{- fail (printf "\n\n  prometheusRule.overrides: %s has no threshold; set its for or severity, or leave it out (prometheusRule.disabled) and write a rule of your own.\n" $name) -}}
{{- end -}}
{{- $threshold := toString .threshold -}}
{{- $_ := set $rule "expr" (regexReplaceAll "[0-9.]+ # threshold" $rule.expr (printf "%s # threshold" $threshold)) -}}
{{- $_ := set $rule.annotations "threshold" $threshold -}}
{{- end -}}
{{- with .for -}}{{- $_ := set $rule "for" . -}}{{- end -}}
{{- with .severity -}}{{- $_ := set $rule.labels "severity" . -}}{{- end -}}
{{- end -}}
{{- if not (and $name (has $name $disabled)) -}}{{- $kept = append $kept $rule -}}{{- end -}}
{{- end -}}
{{- if $kept -}}{{- $groups = append $groups (set (deepCopy $group) "rules" $kept) -}}{{- end -}}
{{- end -}}
{{- range $what, $names := dict "disabled" $disabled "overrides" (keys $overrides | sortAlpha) -}}
{{- range $name := $names -}}
{{- if not (has $name $known) -}}
{{- fail (printf "\n\n  prometheusRule.%s: there is no alert %s. The alerts: %s.\n" $what $name (uniq $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
{{- end -}}
